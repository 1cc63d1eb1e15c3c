"""What the system and fault tests stand on: a stack of real processes, outside tallies, a look at /proc."""
