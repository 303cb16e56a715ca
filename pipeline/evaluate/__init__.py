"""Scores of a stylized clip: temporal stability, style and content."""
