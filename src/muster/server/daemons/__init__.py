"""Where time comes in: one role a file, each pass bounded and callable alone."""
