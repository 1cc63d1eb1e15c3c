"""Is the service well, and who am I to it?"""
