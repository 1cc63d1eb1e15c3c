"""Muster gathers compute for science: people describe work, Muster finds workers for it and accounts for every unit."""
