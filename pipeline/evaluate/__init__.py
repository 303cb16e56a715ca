"""Scores of a stylized clip: stability, style and content."""
