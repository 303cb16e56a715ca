"""Optimize a picture itself, as Gatys et al. 2016 did: slow, and as near to a painting as the losses can come."""
