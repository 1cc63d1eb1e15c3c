"""State and queues in SQLite or PostgreSQL."""
