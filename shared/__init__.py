"""What every process knows: rois and grids, errors, locks, messages, job files, volumes."""
