"""Manual pages, made from the command line itself and from the schemas of its files.

May import: blockmill, shared.
"""
