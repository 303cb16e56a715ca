"""Writing so that a crash at any moment leaves the old file or the new one, and what goes wrong is one line."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator

import av

from pipeline.errors import EncodeError, reason_of


@contextlib.contextmanager
def explained(target: str) -> Iterator[None]:
    """Context in which errors of FFmpeg and of the disk become one line about ``target``, as the user named it.

    Raises:
        EncodeError: in their place.
    """
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise EncodeError(target, f"cannot be written ({reason_of(error)})") from error


def put_in_place(part: str, path: str, *, replaces: bool = True) -> None:
    """Rename the finished file ``part`` to ``path``; both survive a power cut as they are then.

    Args:
        part: the file.
        path: its new name.
        replaces: whether a file that has this name goes.

    Raises:
        FileExistsError: there is a file at ``path``, which is not to be replaced.
        OSError: the disk is full, or ``path`` cannot be replaced.
    """
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    if not replaces and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "another file has come there meanwhile; move it, or --overwrite", path)
    os.replace(part, path)
    _sync_folder(os.path.dirname(path))


def write_in_place(path: str, content: bytes | Iterable[bytes]) -> None:
    """Write a small file, given at once or in pieces, whole or not at all.

    Raises:
        OSError: the disk is full.
    """
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
        put_in_place(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _sync_folder(folder: str) -> None:
    """Let the new name itself survive; systems that cannot, such as Windows, need not."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # a folder that one may write to but not read, too
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
