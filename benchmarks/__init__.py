"""What flowbrush costs and what it keeps, measured; each script runs by its path from any folder."""
