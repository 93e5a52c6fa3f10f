"""Volumes in one HDF5 file: layouts, codecs, chunk reads.

May import: shared, files, geometry, schema, volumes.base.
"""
