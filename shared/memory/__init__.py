"""Memory segments that processes share, and counters of the tasks in them.

May import: messages.
"""
