"""The service's journal of jobs in SQLite, and the logs of jobs.

May import: shared.
"""
