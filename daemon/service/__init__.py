"""The service: a queue of jobs, requests over sockets, access rights, settings.

May import: shared, engine, executors, journal, service.jobs, runs, scheduling.
"""
