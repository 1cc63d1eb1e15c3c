"""Where requests come in: each door parses, calls a service and renders in its own shapes."""
