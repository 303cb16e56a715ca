"""What a training sees: content images, clips and synthetic motion as pairs of frames with known flow."""
