"""Where live frames and audio come from: cameras, streams, the screen, files."""
