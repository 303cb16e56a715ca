"""The middle stage: frames in, stylized frames out."""
