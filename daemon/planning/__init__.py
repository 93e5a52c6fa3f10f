"""Plans of a job: block sizes, memory per worker, amount of work.

May import: shared.
"""
