"""Locks between processes that take over the lock of a dead owner.

May import: shared, files.
"""
