"""The streams besides the main video: what happens to each, and their tracks in the output."""
