"""Volumes: arrays on disk or in memory that are read and written by roi.

May import: shared, files, geometry, volumes.base, volumes.hdf5, volumes.blockwise, volumes.restful.
"""
