"""The studio: stylize a webcam or a clip from a browser tab."""
