"""From style images and content on disk to a weight file."""
