"""Keys that stand in files: read again when they change."""
