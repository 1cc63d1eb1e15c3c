"""Job event logs: followed through whatever happens to their files, and counted as they are read."""
