"""Stylizing in strips, for frames whose features do not fit into memory."""
