"""What a server sends, checked on its way to FFmpeg: no index of an mp4 takes gigabytes."""

import errno
import os
import time
from collections.abc import Callable

import av
from av.container import InputContainer

from pipeline.decode.index.check import IndexGuard
from pipeline.errors import InputError

# FFmpeg's name of the demuxer that passes on bytes as they are, and its option for the size of its packets.
RAW_FORMAT, RAW_OPTIONS = "data", {"raw_packet_size": "32768"}
# More than FFmpeg keeps of what it has read: going back from here asks the server.
HEAD_BYTES = 2**18


class GuardedFile:
    """A stream or file from the network for PyAV, of which FFmpeg gets nothing unchecked.

    Args:
        name: shown in messages.
        open_raw: opens the address as `RAW_FORMAT`.
        seconds: see `allow`.

    Raises:
        av.FFmpegError: it cannot be opened or read.
    """

    def __init__(self, name: str, open_raw: Callable[[], InputContainer], seconds: float) -> None:
        self._name = name
        self.allow(seconds)
        self._guard = IndexGuard()
        self._data = b""
        self._place = 0
        self._is_sought = self._is_whole = self._can_seek = False
        self._start(open_raw())
        try:
            if self._size > 0:
                self._read_head()
            if self._size > 0 and not self._is_whole:
                self._can_seek = self._try_to_seek()
                self.close()  # FFmpeg reads on from some servers after such a try, but not from all
                self._start(open_raw())
        except BaseException:
            self.close()
            raise

    def _start(self, raw: InputContainer) -> None:
        self._raw, self._packets, self._size, self._raw_place = raw, raw.demux(), raw.size, 0

    def allow(self, seconds: float) -> None:
        """Set how long all reading may take from now on: FFmpeg's own limit counts from the last byte."""
        self._deadline = time.monotonic() + seconds

    def seekable(self) -> bool:
        """Return whether the server sends files from any place on."""
        return self._can_seek

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes as soon as there are any; none at the end.

        Raises:
            InputError: FFmpeg would take too much memory for what comes.
        """
        if self._is_whole:
            data = self._data[self._place : self._place + size]
        else:
            self._go_to_place()
            data = self._data or self._next()
            data, self._data = data[:size], data[size:]
            self._raw_place += len(data)
        problem = self._guard.find_fault(data, self._place)
        if problem is not None:
            raise InputError(self._name, problem)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; return it. The server is asked when FFmpeg reads there: it also seeks to learn the size."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    def _go_to_place(self) -> None:
        if self._place != self._raw_place:
            self._raw.seek(self._place, unsupported_byte_offset=True)
            self._raw_place, self._data, self._is_sought = self._place, b"", True

    def _read_head(self) -> None:
        """Read a short file whole."""
        while len(self._data) < min(self._size, HEAD_BYTES):
            data = self._next()
            if not data:
                break
            self._data += data
        self._is_whole = self._can_seek = len(self._data) >= self._size

    def _try_to_seek(self) -> bool:
        self._data = b""
        try:
            self._raw.seek(1, unsupported_byte_offset=True)  # any server can start at 0
            return next(self._packets).pos == 1
        except (av.FFmpegError, StopIteration):
            return False

    def _next(self) -> bytes:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        try:
            packet = next(packet for packet in self._packets if packet.size)
        except (StopIteration, EOFError):
            return b""
        if self._is_sought and packet.pos != self._place:
            raise OSError(errno.ESPIPE, "the server does not send parts of files")
        self._is_sought = False
        return bytes(packet)
