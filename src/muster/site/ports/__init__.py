"""What the site agent needs: a pool, and a memory that survives a crash."""
