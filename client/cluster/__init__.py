"""Blocks computed by commands of their own, here or by way of ssh or a queueing system."""
