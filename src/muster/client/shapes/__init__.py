"""What travels between the client and our own door: one struct a message, shared by both."""
