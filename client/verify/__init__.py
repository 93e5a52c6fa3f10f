"""Comparison of the blocks of a volume with their records, over several processes.

May import: shared, daemon.
"""
