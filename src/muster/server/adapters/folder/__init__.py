"""Files in a folder of this machine, or one that all machines of the service have mounted."""
