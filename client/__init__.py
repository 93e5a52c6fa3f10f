"""What people touch: the library front and the command line."""
