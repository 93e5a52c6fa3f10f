"""Workers on this machine: fork server, supervision, memory limits, their output and logs.

May import: shared, executors.
"""
