"""The container of a weight file: the header of a safetensors file.

Read without torch and without running any code of the file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = "flowbrush-1"
LARGEST_FILE_BYTES, LARGEST_HEADER_BYTES = 512 * 2**20, 16 * 2**20
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class WeightsError(ValueError):
    """A style is unknown, or a weight file is missing, damaged or of another format."""


class PickleFileError(ValueError):
    """A file is a pickle of PyTorch, not a safetensors file."""


def read_header(file: BinaryIO) -> dict[str, Any]:
    """Return the header of an opened safetensors file: eight bytes of length, then JSON. Nothing large is read.

    Raises:
        PickleFileError: it is a pickle of PyTorch.
        ValueError: it is no safetensors file, or too large to be one of this program.
        RecursionError: its header is nested too deeply.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    if start.startswith(PICKLES):
        raise PickleFileError("a pickle of PyTorch")
    length = int.from_bytes(start, "little")
    if not 2 <= length <= min(size - 8, LARGEST_HEADER_BYTES) or size > LARGEST_FILE_BYTES:
        raise ValueError("not a safetensors file")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    return header


def read_metadata(path: Path) -> Mapping[str, str]:
    """Return the metadata in the header of a weight file.

    Raises:
        WeightsError: not a weight file of this program.
    """
    unknown = f"{path}: not a safetensors file; styles are trained with `flowbrush train`"
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path}: not a file; give the path of a weight file")
        with path.open("rb") as file:
            metadata = read_header(file).get("__metadata__")
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); `flowbrush styles` lists the bundled styles"
        raise WeightsError(f"{path}: {reason}") from error
    except WeightsError:
        raise
    except PickleFileError as error:
        reason = "a pickle of PyTorch, which can run code when it is loaded; give a safetensors file"
        raise WeightsError(f"{path}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(unknown) from error
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or found != FORMAT:
        raise WeightsError(f"{path}: not a weight file of flowbrush (its format is {found!r}, not {FORMAT!r})")
    return metadata


def with_metadata(content: bytes, changed: Mapping[str, str]) -> bytes:
    """Return the content of a weight file with other metadata; the tensors stay the same, byte for byte."""
    end = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:end])
    header["__metadata__"] |= changed
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format asks for aligned tensors
    return len(text).to_bytes(8, "little") + text + content[end:]
