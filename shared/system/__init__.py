"""Calls into the operating system: acting as another user, threads of numeric libraries.

May import: shared.
"""
