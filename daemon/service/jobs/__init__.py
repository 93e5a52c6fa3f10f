"""The jobs of a service as a table: their states, whom they follow, where they would meet on disk.

May import: shared, journal.
"""
