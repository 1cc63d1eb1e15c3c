"""The loops of the site agent: one role a file."""
