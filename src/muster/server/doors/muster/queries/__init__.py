"""Queries: workflows, tasks and taskforces by a filter."""
