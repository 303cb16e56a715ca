"""Photos: pictures with up to 16 bits, transparency, color profile and metadata, read and written."""
