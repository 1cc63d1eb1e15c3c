"""Identity for tests in which nobody signs in."""
