"""Stylizes live frames: the newest frame in, a stylized frame out, at a size that the machine manages in time."""
