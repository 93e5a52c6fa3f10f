"""The computing side: a process that takes block tasks and does them one after another.

May import: shared, kernels.
"""
