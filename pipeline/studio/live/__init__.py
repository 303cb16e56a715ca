"""Cameras of the page: viewers that share one network."""
