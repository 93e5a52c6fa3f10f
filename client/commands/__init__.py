"""The verbs of the command line that talk to the service."""
