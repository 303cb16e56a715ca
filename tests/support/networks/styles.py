"""Weight files for tests."""

from pathlib import Path

from models.registry import StyleMetadata, load, to_bytes


def write_styles(path: Path, *names: str) -> Path:
    """Write a weight file with styles of these names, all of which look like a bundled one."""
    loaded = load("great-wave")
    metadata = [StyleMetadata(name, licence="none") for name in names]
    path.write_bytes(to_bytes(loaded.network, [loaded.style] * len(names), metadata, {}))
    return path
