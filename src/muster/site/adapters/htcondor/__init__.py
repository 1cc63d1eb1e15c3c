"""HTCondor: one access point, its queue through the bindings, its job event logs read by ourselves."""
