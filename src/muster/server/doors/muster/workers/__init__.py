"""Workers of taskforces: enrol, step, renew, leave."""
