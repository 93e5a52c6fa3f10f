"""What the service needs for its clients' connections: listeners, keys, long polls, a bound on memory.

May import: shared.
"""
