"""The client, and a small real server that its tests stand on."""
