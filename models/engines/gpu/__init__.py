"""Frames on a GPU: copies beside the network, several frames in flight."""
