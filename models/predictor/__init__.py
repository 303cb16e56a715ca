"""Any picture is a style: a network that runs once for a picture and predicts the parameters of its style."""

from pathlib import Path

BUNDLED = Path(__file__).parent / "predictor.safetensors"
"""The weights that are part of the package."""
