"""The inputs of a run: opened, checked against what their jobs recorded, looked at again at the end.

May import: shared, planning, runs.outputs.
"""
