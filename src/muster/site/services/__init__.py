"""What the site agent does: one use case a module, written over ports."""
