"""Queues of a workflow: publish, close."""
