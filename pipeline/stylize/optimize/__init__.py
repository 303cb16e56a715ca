"""Frames and pictures that are optimized themselves, instead of being stylized by a network."""
