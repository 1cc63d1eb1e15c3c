"""Orders for single workers: asked for, looked at, and carried out by sites' agents."""
