"""Renders the sample clips; the scenes know their exact optical flow and occlusions. Not part of the wheel."""
