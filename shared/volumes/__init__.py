"""Volumes: arrays on disk or in memory that are read and written by roi."""
