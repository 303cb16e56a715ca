"""The disk space that uploads and results may take together."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.media.containers import container_for
from pipeline.resume.disk_space import BITS_PER_PIXEL, size_text
from pipeline.studio.answers import RequestError
from pipeline.system.folders import content_bytes

# Segments and the output exist at the same time at the end; the other streams are copied once more.
_COPIES, _OTHERS = 2, 0.1


class Space:
    """Counts what the studio's folder holds, and what was promised to uploads and has not arrived yet.

    Args:
        root: the studio's folder.
        most_bytes: that it may hold.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        self._root, self._most_bytes = root, most_bytes
        self._promised = 0
        self._lock = threading.Lock()

    @contextmanager
    def promised(self, count: int) -> Iterator[Callable[[int], None]]:
        """Context in which ``count`` bytes are written; yields what is called with the number of those that were.

        Raises:
            RequestError: there is no space for them.
        """
        left = count

        def arrived(number: int) -> None:
            nonlocal left
            with self._lock:
                left -= number
                self._promised -= number

        with self._lock:
            self.check(count)
            self._promised += count
        try:
            yield arrived
        finally:
            arrived(left)

    def check(self, count: float = 0) -> None:
        """Check that there is space for ``count`` more bytes.

        Raises:
            RequestError: there is not.
        """
        used = content_bytes(self._root) + self._promised
        if used + count > self._most_bytes:
            held = f"the studio holds {size_text(used)} of {size_text(self._most_bytes)}"
            need = f", {size_text(count)} more are needed" if count else ""
            raise RequestError(507, f"{held}{need}; remove finished clips from the list, or start it with --max-disk")


def estimated_bytes(width: int, height: int, frames: int | None, source_bytes: int, container: str) -> float:
    """Return about how much space a render takes at its end; 0 if the number of frames is unknown."""
    bits = BITS_PER_PIXEL[container_for(f"result.{container}").codec]
    return _COPIES * bits * width * height * (frames or 0) / 8 + (_OTHERS * source_bytes if frames else 0)
