"""Execution points, as a workflow has seen them."""
