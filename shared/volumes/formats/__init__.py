"""The formats that come with blockmill, one module each, over the folders beside; the registry finds them.

May import: shared, files, geometry, volumes.base, volumes.hdf5, volumes.blockwise, volumes.restful,
volumes.zarr, volumes.
"""
