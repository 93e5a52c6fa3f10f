"""Small files: atomic writes, syncs, checksums, JSON documents that follow a schema.

May import: shared.
"""
