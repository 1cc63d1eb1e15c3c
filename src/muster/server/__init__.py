"""`muster serve`: REST doors and daemons over one database."""
