"""What can be set, where it is read from, and what upstream calls it; read once, checked whole, frozen, passed down as values."""
