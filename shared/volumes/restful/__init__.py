"""Volumes that a web server offers in cut-outs, and a fileset that caches what it fetches.

May import: shared, files, geometry, volumes.base, volumes.hdf5, volumes.blockwise, volumes.blockwise.fast.
"""
