"""The operations that a worker can apply to a block."""
