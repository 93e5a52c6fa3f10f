"""Boxes of voxels: rois, block shapes and block grids.

May import: shared.
"""
