"""Locations: where workers can run."""
