"""Clips of the page: uploads, preview frames, render jobs."""
