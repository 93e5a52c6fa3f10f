"""Clients of the service for Python programs, with threads or with asyncio.

May import: shared.
"""
