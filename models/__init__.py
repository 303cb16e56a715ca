"""Tensors in, tensors out: networks, losses and the registry of bundled styles. Knows neither files nor videos."""
