"""Volumes that a web server gives out in cut-outs, and a fileset that keeps what was fetched."""
