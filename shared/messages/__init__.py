"""Messages between processes, typed: engine and workers, service and clients.

May import: shared, system.
"""
