"""Our own door, every field, at /muster/v1."""
