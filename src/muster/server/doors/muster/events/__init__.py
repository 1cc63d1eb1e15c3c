"""Events: lists, single ones with their history, dead letters and their replay."""
