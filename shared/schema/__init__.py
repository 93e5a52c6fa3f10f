"""Fields of job files and configuration, and the words for mistakes in them.

May import: shared, geometry.
"""
