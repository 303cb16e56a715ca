"""C++ of the engine `models.engines.native`: numbers, vectors, rows, convolutions, colors, and the whole network."""

from pathlib import Path

SOURCES = tuple(
    Path(__file__).with_name(name)
    for name in ("network.cpp", "color.h", "convolve.h", "numbers.h", "rows.h", "transformed.h", "vectors.h")
)
"""All files of the code; the first is the one to compile."""
