"""What do we claim, and does it hold? One file a claim; each prints a ratio and can be run alone."""
