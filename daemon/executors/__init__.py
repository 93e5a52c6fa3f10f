"""The interface between the engine and whatever starts its workers.

May import: nothing of ours.
"""
