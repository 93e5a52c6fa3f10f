"""The job model, its operations, and the YAML files that jobs are written in.

May import: shared, files, geometry.
"""
