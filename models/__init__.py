"""Tensors in, tensors out: networks, engines, losses and the registry of bundled styles. Imports no video library."""
