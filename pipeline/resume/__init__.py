"""Renders that survive a crash: finished segments, a manifest beside the output, and the point where to resume."""
