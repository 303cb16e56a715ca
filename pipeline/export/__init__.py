"""Write a style as a file for other programs."""
