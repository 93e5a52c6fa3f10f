"""The service: a queue of jobs, requests over sockets, access rights, settings.

May import: shared, engine, executors, journal, runs.outputs, service.clients, service.jobs, runs,
scheduling.
"""
