"""The engine: the coordinator's thread, its sockets, and handles of the jobs that it runs.

May import: shared, scheduling, executors, executors.local.
"""
