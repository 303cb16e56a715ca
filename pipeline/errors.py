"""What can go wrong in the world around the pipeline, one class for each exit code.

    PipelineError
    +-- InputError     3   the input cannot be opened, or holds no picture that decodes
    |   +-- DecodeError    it opened, but a frame of it could not be decoded
    +-- OutputError    4   the output cannot be written
    |   +-- EncodeError    an encoder or the container refused a frame or a packet
    +-- StyleError     5   a style is unknown, or its weights cannot be used
    +-- DeviceError    6   the device or the engine asked for is not to be had
        +-- TooLittleMemoryError    nor is enough memory

No exception, but an exit code of its own: 7, the output is written, but the input was damaged; see
`pipeline.media.damage`.
With ``--strict`` the first damage is an `InputError` instead, and no output is written.

A wrong argument is a ``ValueError``, never one of these. Messages are one line: which file, where in it,
what happened, what to do.
"""

import unicodedata
from pathlib import Path
from typing import Any

# What the command line exits with where the output was written although the input was damaged.
DAMAGED_INPUT = 7


class PipelineError(Exception):
    """Base of all errors that a user can mend; a caller needs to catch this one alone.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[PipelineError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PipelineError:
    """An error that came from another process; its message is made already, so ``__init__`` is not called."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InputError(PipelineError):
    """The input could not be opened, or no video was found in it.

    Attributes:
        path: the file as the user named it.
    """

    exit_code = 3

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)


class DecodeError(InputError):
    """The input was opened, but a frame of it could not be decoded.

    Attributes:
        frame_index: zero-based index of the frame that failed.
    """

    def __init__(self, path: str | Path, reason: str, *, frame_index: int) -> None:
        super().__init__(path, f"frame {frame_index}: {reason}")
        self.frame_index = frame_index


class OutputError(PipelineError):
    """The output could not be written; nothing of it is left on disk.

    Attributes:
        path: the file as the user named it.
    """

    exit_code = 4

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)


class EncodeError(OutputError):
    """An encoder or the container refused what it was given."""


class StyleError(PipelineError):
    """A style is not known, or its weight file cannot be used."""

    exit_code = 5


class DeviceError(PipelineError):
    """The device, the precision or the engine that was asked for is not to be had on this machine."""

    exit_code = 6


class TooLittleMemoryError(DeviceError):
    """The memory that may be taken does not suffice, however little is painted at once."""


def printable(text: str) -> str:
    r"""``text`` as one line that a terminal can show, whatever a file name or a file's metadata holds.

    Control characters, line breaks, marks that turn the direction of writing, and bytes that were no UTF-8 are written
    as escapes, as in ``\x1b``.
    """
    return "".join(_escaped(character) if _is_harmful(character) else character for character in text)


def _is_harmful(character: str) -> bool:
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte, as `os.fsdecode` keeps it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def first_line(error: BaseException) -> str:
    """What went wrong, without the rest of a long message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def reason_of(error: Exception) -> str:
    """What went wrong, in FFmpeg's or the system's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def notes_of(error: BaseException) -> str:
    """What was added to ``error`` on its way, as what is kept of the work: ``; note`` for each, or nothing."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
