"""The operations: one file each, with parameters and consequences; the arithmetic is in workers/kernels.

May import: shared, geometry, schema.
"""
