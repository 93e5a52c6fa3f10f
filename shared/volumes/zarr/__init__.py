"""Zarr v3 arrays: their metadata in plain JSON, their chunks by tensorstore.

May import: shared, files, geometry, schema, volumes.base.
"""
