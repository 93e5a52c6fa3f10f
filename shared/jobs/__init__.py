"""The job model, its operations, the YAML files that jobs are written in, and the files of user code.

May import: shared, files, operations, schema, volumes, volumes.base.
"""
