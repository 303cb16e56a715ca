"""Weight files that were made to do harm are refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import cli
from models.registry import WeightsError, bundled, load, read_catalog
from pipeline.errors import StyleError
from pipeline.stylize.style import find_style

ROOT = Path(cli.__file__).parent


def _weights(path: Path, **changes: object) -> Path:
    card = {"name": "evil"} | changes.pop("card", {})  # type: ignore[operator]
    metadata = {
        "format": "flowbrush-1",
        "architecture": json.dumps(changes.pop("architecture", {"widths": [4, 6, 8], "blocks": 1, "kernel": 3})),
        "styles": json.dumps(changes.pop("styles", [card])),
    }
    save_file({"network.x": np.zeros(3, np.float16)}, path, metadata)
    return path


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        (b"PK\x03\x04" + b"\0" * 60, "a pickle of PyTorch, which can run code"),
        (b"\x80\x02}q\x00." + b"\0" * 60, "a pickle of PyTorch, which can run code"),
        ((2**62).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((400 * 2**20).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((40).to_bytes(8, "little") + b"[" * 40, "not a safetensors file"),
        (b"", "not a safetensors file"),
    ],
)
def test_what_is_not_a_weight_file_is_refused(tmp_path: Path, begin: bytes, reason: str) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(begin)
    with pytest.raises(WeightsError, match=reason):
        load(str(path))


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + os.fsencode(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(StyleError):
        find_style(str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": {"widths": [10**6, 10**6, 10**6]}},
        {"architecture": {"widths": [16.5, 32, 64]}},
        {"architecture": {"widths": [4, 6, 8], "blocks": 10**9}},
        {"architecture": {"widths": [4, 6, 8], "kernel": 10**6 + 1}},
        {"architecture": {"unknown": 1}},
        {"architecture": [1]},
        {"styles": {}},
        {"styles": [1]},
        {"styles": "evil"},
        {"card": {"name": ["evil"]}},
        {"card": {"name": ""}},
        {"card": {"figures": {"a": "b"}}},
        {"card": {"painting_px": "large"}},
        {},
    ],
)
def test_weights_with_false_metadata_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        load(str(_weights(tmp_path / "evil.safetensors", **changes)))


def _bundled_with(path: Path, change: "dict[str, object]") -> Path:
    """Return the bundled weights with other fields of the first tensor in the header."""
    content = bundled()["great-wave"].path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header[next(name for name in header if name.startswith("network."))].update(change)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [4, 0]},
        {"data_offsets": [2, 66]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1]},
        {"dtype": "I16"},
        {"dtype": "F64"},
        {"dtype": "NONSENSE"},
    ],
)
def test_headers_with_false_offsets_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        load(f"{_bundled_with(tmp_path / 'evil.safetensors', change)}#great-wave")


def test_mutated_weights_are_loaded_or_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    content = bundled()["great-wave"].path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for _ in range(60):
        data = bytearray(content)
        for place in generator.integers(0, end, 3):
            data[place] = generator.integers(256)
        path = tmp_path / "evil.safetensors"
        path.write_bytes(data)
        try:
            read_catalog(path)
            load(f"{path}#great-wave")
        except WeightsError:
            refused += 1
    assert refused > 10


def test_a_style_that_is_a_folder_or_a_device_is_refused(tmp_path: Path) -> None:
    for name in (str(tmp_path), "/dev/zero", f"{tmp_path}/no\0where"):
        with pytest.raises(StyleError):
            find_style(name)
