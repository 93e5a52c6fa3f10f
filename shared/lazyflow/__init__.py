"""Helpers under the names that lazyflow gives them: rois, paths, JSON configurations, signals.

May import: shared, files, geometry, schema, volumes.base.
"""
