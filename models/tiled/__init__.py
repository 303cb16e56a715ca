"""Frames that do not fit into memory as a whole, stylized in strips."""
