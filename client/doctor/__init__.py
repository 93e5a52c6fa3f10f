"""What can be wrong with the machine, the installation and the service, looked at in a second."""
