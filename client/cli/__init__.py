"""The command line: its entry point, and what its verbs share.

May import: blockmill, shared, daemon, formatting, service.
"""
