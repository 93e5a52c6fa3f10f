"""Quick checks of the machine, the installation and the service.

May import: blockmill, shared, daemon, service.
"""
