"""The engine: the thread of the coordinator and its executor, and handles of the jobs that it runs.

May import: shared, scheduling, executors, executors.local.
"""
