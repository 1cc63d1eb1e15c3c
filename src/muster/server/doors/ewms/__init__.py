"""The door for clients of the EWMS workflow management service, at /v1 and /v0."""
