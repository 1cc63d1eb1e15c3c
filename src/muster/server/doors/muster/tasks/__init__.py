"""Tasks: look at one, give it more workers."""
