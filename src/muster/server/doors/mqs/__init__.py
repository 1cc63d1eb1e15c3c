"""The door for clients of the EWMS message queue service, under `/v1/mqs` and `/v0/mqs`; and the keys for its broker."""
