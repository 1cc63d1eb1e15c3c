"""`muster site`: the agent beside a pool; it claims taskforces, submits, stops and watches them."""
