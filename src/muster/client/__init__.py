"""The typed client of our own door; the command line and the site agent use nothing else."""
