"""The index of an mp4 or mov: what it declares, before FFmpeg reads it."""
