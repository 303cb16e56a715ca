"""What a page sends is written to disk in pieces, as it arrives."""

import asyncio
from collections.abc import AsyncIterator, Callable

from pipeline.errors import printable
from pipeline.resume.disk_space import size_text
from pipeline.studio.answers import RequestError
from pipeline.system.files.atomic import remove, replace_atomically, reserve
from pipeline.system.files.writing import open_existing, write_all

# A browser that sends nothing for so long has gone.
IDLE_SECONDS = 60.0
LONGEST_NAME = 200
_CHUNK_BYTES = 2**20


def checked_name(name: str, missing: str) -> str:
    """Return the name of a file for messages and lists, at most `LONGEST_NAME` printable characters.

    Args:
        name: as the browser calls it.
        missing: for a file without a name.
    """
    return printable(name)[:LONGEST_NAME] or missing


def checked_size(name: str, size: int | None, most_bytes: int, remedy: str) -> int:
    """Return the size of a file that is about to arrive.

    Args:
        name: for messages.
        size: in bytes, as the browser says; None if it does not.
        most_bytes: that are accepted.
        remedy: what to do about a larger file.

    Raises:
        RequestError: it is unknown, or too large.
    """
    if size is None:
        raise RequestError(411, f"{name}: the upload does not say how large it is; upload it again")
    if size > most_bytes:
        raise RequestError(413, f"{name}: has {size_text(size)}, the limit is {size_text(most_bytes)}; {remedy}")
    return size


async def write_body(
    path: str, name: str, size: int, body: AsyncIterator[bytes], arrived: Callable[[int], None]
) -> None:
    """Write what arrives to ``path``, which appears when all of it is there; call ``arrived`` with the size of pieces.

    Raises:
        RequestError: it does not arrive.
        OSError: the disk is full.
    """
    temporary = reserve(f"{path}.part")
    try:
        await _append_all(temporary, name, size, body, arrived)
        await asyncio.to_thread(replace_atomically, temporary, path)
    except BaseException:
        remove(temporary)  # which also closes it: an open file keeps its place on the disk
        raise


async def _append_all(
    temporary: str, name: str, size: int, body: AsyncIterator[bytes], arrived: Callable[[int], None]
) -> None:
    left = size
    with open_existing(temporary) as file:
        pending = bytearray()
        while True:
            try:
                piece = await asyncio.wait_for(anext(body, b""), IDLE_SECONDS)
            except TimeoutError:
                raise RequestError(
                    408, f"{name}: nothing has arrived for {IDLE_SECONDS:g} s; upload it again"
                ) from None
            pending += piece
            left -= len(piece)
            if left < 0:
                raise RequestError(400, f"{name}: is longer than announced; upload it again")
            if len(pending) >= _CHUNK_BYTES or not piece:
                await asyncio.to_thread(write_all, file, bytes(pending))
                arrived(len(pending))
                pending.clear()
            if not piece and not left:
                break
            if not piece:
                raise RequestError(400, f"{name}: ended early; upload it again")
