"""The verbs of the command line, one module each, imported when the verb is used.

May import: blockmill, shared, daemon, cli, cluster, doctor, formatting, manpages, service.
"""
