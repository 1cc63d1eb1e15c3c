"""An agent's standing, as one file of its directory."""
