"""Runs of one job: its outputs, resuming, records of finished blocks, merging, benchmarks.

May import: shared, engine, executors.local, planning, scheduling, runs.outputs, runs.inputs.
"""
