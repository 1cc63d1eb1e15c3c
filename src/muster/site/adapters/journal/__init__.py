"""The agent's memory: one small file a taskforce."""
