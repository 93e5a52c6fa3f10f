"""blockmill: take volumes of any size through a step, block by block, over worker processes."""

__version__ = "0.1.0"
