"""Chooses the mode of live frames: what each costs on this machine, and which is the best that fits. Reads no clock."""
