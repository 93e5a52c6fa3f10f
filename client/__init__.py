"""The parts that people use: client, library and command line."""
