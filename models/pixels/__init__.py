"""Conversions of pixels by their definitions: YUV, HDR and RGB."""
