"""How it is done: one kind of pool a folder, and the journal."""
