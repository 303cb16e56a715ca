"""Errors of FFmpeg and of the file system while an output is written, as one error of this program."""

from collections.abc import Iterator
from contextlib import contextmanager

import av

from pipeline.errors import EncodeError, reason_of


@contextmanager
def encode_errors(target: str) -> Iterator[None]:
    """Context that raises errors of FFmpeg and of the file system as `EncodeError` of ``target``."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise EncodeError(target, f"cannot be written ({reason_of(error)})") from error
