"""Tasks: give one more workers."""
