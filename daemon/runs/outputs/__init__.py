"""The output of a run: who writes it, where finished blocks are noted, whose it is, what lies beside it.

May import: shared, scheduling, planning, engine.
"""
