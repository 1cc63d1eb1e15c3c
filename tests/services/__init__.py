"""Real services beside the tests: found or fetched, started on loopback addresses of their own, and stopped."""
