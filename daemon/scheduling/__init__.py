"""Pure state machines of blocks, jobs and workers: no clock, no files, no sockets.

May import: nothing of ours.
"""
