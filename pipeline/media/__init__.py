"""Facts of media files and frames that several stages need: codecs, colour, bit depth, orientation, damage."""
