"""Errors that users can fix, with one exit code for each class.

    PipelineError
    +-- InputError     3   the input cannot be opened, or has no frame that decodes
    |   +-- DecodeError    a frame of the input cannot be decoded
    +-- OutputError    4   the output cannot be written
    |   +-- EncodeError    an encoder or the container refuses a frame or a packet
    |   +-- InUseError     another run is writing the output
    +-- StyleError     5   a style does not exist, or its weights cannot be used
    +-- DeviceError    6   the device or the engine is not available
        +-- TooLittleMemoryError    there is too little memory

Exit code 7 is not an error: the output is written, but the input is damaged; see `pipeline.media.damage`. With
``--strict``, damage is an `InputError`, and no output is written.

A wrong argument is a ``ValueError``, never one of these. Messages are one line, ``FILE: what is wrong; what to do``.
"""

import unicodedata
from pathlib import Path
from typing import Any

# Exit code if the output is written although the input is damaged.
DAMAGED_INPUT = 7


class PipelineError(Exception):
    """Base class of all errors that users can fix; the only one that a caller needs to catch.

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[PipelineError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PipelineError:
    """Return an unpickled error without calling ``__init__``, as its message is complete."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InputError(PipelineError):
    """The input cannot be opened, or has no video.

    Attributes:
        path: the file as the user named it.
    """

    exit_code = 3

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)


class DecodeError(InputError):
    """A frame of the input cannot be decoded.

    Attributes:
        frame_index: zero-based index of the frame that failed.
    """

    def __init__(self, path: str | Path, reason: str, *, frame_index: int) -> None:
        super().__init__(path, f"frame {frame_index}: {reason}")
        self.frame_index = frame_index


class OutputError(PipelineError):
    """The output cannot be written; nothing is left of it on disk.

    Attributes:
        path: the file as the user named it.
    """

    exit_code = 4

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)


class EncodeError(OutputError):
    """An encoder or the container refuses a frame or a packet."""


class InUseError(OutputError):
    """Another run is writing the output."""


class StyleError(PipelineError):
    """A style does not exist, or its weight file cannot be used."""

    exit_code = 5


class DeviceError(PipelineError):
    """The device, the precision or the engine is not available on this machine."""

    exit_code = 6


class TooLittleMemoryError(DeviceError):
    """There is too little memory even for the smallest strips."""


def printable(text: str) -> str:
    r"""Return ``text`` as one line that is safe to print, whatever a file name or metadata contains.

    Control characters, line breaks, marks that change the writing direction, and bytes that are not UTF-8 are escaped,
    as in ``\x1b``.
    """
    return "".join(_escaped(character) if _is_harmful(character) else character for character in text)


def _is_harmful(character: str) -> bool:
    is_direction_mark = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return is_direction_mark or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that `os.fsdecode` could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def first_line(error: BaseException) -> str:
    """Return the first line of the message, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def reason_of(error: Exception) -> str:
    """Return the reason in the words of FFmpeg or of the operating system."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def notes_of(error: BaseException) -> str:
    """Return the notes on ``error``, as for partial output, each with ``; `` before it; empty without any."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
