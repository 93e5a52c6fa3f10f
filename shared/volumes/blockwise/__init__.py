"""Filesets: volumes of one HDF5 file per block, with status records and locks.

May import: shared, files, geometry, locking, volumes.base, volumes.hdf5, volumes.blockwise.fast.
"""
