"""The endings by which files that hold datasets are known."""

HDF5_EXTENSIONS = (".h5", ".hdf5", ".ilp")
