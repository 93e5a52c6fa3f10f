"""The interface between the engine and its executors, and what executors of this machine share.

May import: shared.
"""
