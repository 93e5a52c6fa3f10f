"""The interface between the engine and the executors, which start its workers.

May import: nothing of ours.
"""
