"""Sites: claims and reports of our agents."""
