"""The service's settings: keys, where each value comes from, where files lie on this system.

May import: shared, files, jobs, schema.
"""
