"""Taskforces: look at one."""
