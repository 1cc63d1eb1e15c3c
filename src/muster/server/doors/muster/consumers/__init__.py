"""Consumers: how people get results out of a queue."""
