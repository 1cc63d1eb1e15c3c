"""Workflows: submit, look, follow, end."""
