"""How it is done: one external system a folder."""
