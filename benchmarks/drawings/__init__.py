"""Style images that nobody owns: drawn by code."""
