"""What the streams of a clip hold, and what of it comes through."""
