"""How much may be in use at once, and how much is?"""
