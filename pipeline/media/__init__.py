"""Facts of media files and frames that several stages need: codecs, containers, streams, damage, pictures."""
