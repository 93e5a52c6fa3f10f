"""Runs of one job: its outputs, resuming, records of finished blocks, merging, trials.

May import: shared, engine, executors.local, planning, scheduling.
"""
