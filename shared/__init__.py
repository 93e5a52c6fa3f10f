"""Code that every process uses: rois and grids, errors, locks, messages, job files, volumes.

May import: blockmill.
"""
