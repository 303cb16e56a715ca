"""From decoded frames to upright RGB and back: color, bit depth, transparency, orientation, interlacing."""
