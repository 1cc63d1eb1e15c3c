"""What the server needs from the world, in the domain's words."""
