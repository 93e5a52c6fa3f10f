"""Worker processes: each takes block tasks and computes them one after another.

May import: shared, kernels.
"""
