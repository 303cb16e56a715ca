"""Which engine runs the network, within a bound of memory: chosen, compiled, kept from clip to clip."""
