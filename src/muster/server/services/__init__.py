"""What the server does: one use case a module, written over ports."""
