"""The network with one style in it, as a file for other programs."""
