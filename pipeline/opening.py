"""Opening what may be hostile: local files and standard input alone, by demuxers that open nothing else."""

import os
import select
import sys
import threading
from typing import IO

import av
from av.container import InputContainer

from pipeline.errors import InputError

# A whitelist of protocols alone is no defence: a playlist or script named .mp4 opens its neighbours.
DEMUXERS = (
    "3dostr,aac,ac3,aiff,amr,apng,asf,av1,avi,dts,dv,eac3,flac,flv,gif,h263,h264,hevc,ivf,live_flv,m4v,matroska,webm,"
    "mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,nuv,obu,ogg,rm,roq,tta,vc1,vvc,w64,wav,wtv,"
    "yuv4mpegpipe"
)

# How long a stop may go unnoticed by a read from a pipe.
WAIT_SECONDS = 0.2


class Pipe:
    """Standard input as a stream that offers no seeking, even where it is a file, and whose waits can be ended.

    Attributes:
        error: an interruption that came during a read; FFmpeg, which called, cannot pass it on.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.error: BaseException | None = None
        self._file = file
        self._stopped = threading.Event()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes as soon as there are any; none at the end, or when stopped."""
        try:
            if os.name != "posix":  # can wait for sockets alone
                return self._file.read(size)
            while not self._stopped.is_set():
                if select.select([self._file], [], [], WAIT_SECONDS)[0]:
                    return os.read(self._file.fileno(), size)
        except Exception:
            raise  # PyAV passes these on
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            self.error = error
            self.stop()
        return b""

    def stop(self) -> None:
        """End a `read` that waits, and all that follow."""
        self._stopped.set()


def standard_input() -> Pipe:
    """Standard input, or an `InputError` where it is closed."""
    if sys.stdin is None:  # closed by the shell, as by <&-
        raise InputError("-", "standard input is closed; pipe a video in, or give the name of a file")
    return Pipe(sys.stdin.buffer)


def raise_what_came(pipe: Pipe | None) -> None:
    """Raise an interruption that came while FFmpeg was reading from ``pipe``."""
    if pipe is not None and pipe.error is not None:
        raise pipe.error


def open_container(path: str, pipe: Pipe | None) -> InputContainer:
    """Open a local file, or ``pipe``, by the demuxers that are allowed alone.

    Raises:
        InputError: it cannot be opened.
    """
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        container = av.open(pipe or f"file:{path}", "r", options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise_what_came(pipe)
        raise InputError(path, _why_unopened(path, error)) from error
    raise_what_came(pipe)
    return container


def _why_unopened(path: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read; check its permissions"
    hint = "; an mp4 needs its index in front to be piped (faststart), mkv always works" if path == "-" else ""
    if isinstance(error, av.ArgumentError):
        return f"is not a video format that is opened; playlists, scripts and lists of pictures are not{hint}"
    reason = reason_of(error)
    return f"is not a video that can be read ({reason}); check that the file is complete and a video{hint}"


def reason_of(error: Exception) -> str:
    """What went wrong, in FFmpeg's or the system's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
