"""Training styles: from style images, photos and clips to a weight file."""
