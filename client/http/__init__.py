"""A web server that offers cut-outs of a volume.

May import: shared.
"""
