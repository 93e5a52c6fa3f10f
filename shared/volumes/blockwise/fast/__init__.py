"""Short cuts for reading block files whose layout is known, without opening them in HDF5.

May import: files, geometry, volumes.hdf5.
"""
