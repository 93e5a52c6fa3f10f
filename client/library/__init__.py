"""Batches, streams and parallel reads for Python programs, computed by worker processes.

May import: shared, daemon.
"""
