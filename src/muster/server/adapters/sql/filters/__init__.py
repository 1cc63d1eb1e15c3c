"""Filters of documents as SQL conditions, of which whatever fits is within."""
