"""Checking the blocks of a volume against what was recorded of them, over several processes."""
