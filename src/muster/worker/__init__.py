"""`muster worker`: the pilot that travels to execution points; standard library only, Python 3.9 and newer."""
