"""The volume protocol, the checks that all formats share, and volumes in memory.

May import: shared, files, geometry, schema.
"""
