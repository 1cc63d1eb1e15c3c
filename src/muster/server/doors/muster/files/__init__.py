"""Files: bodies that are too large for a message."""
