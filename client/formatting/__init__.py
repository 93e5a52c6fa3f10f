"""The text that people see: tables, progress, JSON documents, exit codes.

May import: shared.
"""
