"""Facts of media files and frames that several stages need: codecs, color, bit depth, orientation, damage."""
