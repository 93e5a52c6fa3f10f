"""Blocks computed by commands of their own, on this host, through ssh or a queueing system.

May import: shared, daemon, formatting, library.
"""
