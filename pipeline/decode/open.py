"""Opening what may be hostile: local files and standard input alone, by demuxers that open nothing else."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import IO

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from pipeline.decode.container_check import what_is_missing
from pipeline.decode.sample_counts import what_is_pretended
from pipeline.errors import InputError, reason_of
from pipeline.media.packets import StreamPacket

# A whitelist of protocols alone is no defence: a playlist or script named .mp4 opens its neighbours.
DEMUXERS = (
    "3dostr,aac,ac3,aiff,amr,apng,asf,av1,avi,dts,dv,eac3,flac,flv,gif,h263,h264,hevc,ivf,live_flv,m4v,matroska,webm,"
    "mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,nuv,obu,ogg,rm,roq,tta,vc1,vvc,w64,wav,wtv,"
    "yuv4mpegpipe"
)

# Of the picture: 12K is 80 million pixels. FFmpeg's own limit is three times as high, and decoders keep 16 and more.
MAX_PIXELS, LONGEST_SIDE_PX = 100_000_000, 16_384

# Fonts count too: a film has a hundred at the most. FFmpeg leaves out what is beyond the limit, without a word.
MAX_STREAMS = 1000

# Read again where FFmpeg met an end or a failure, to tell a damaged file from a failing disk.
PROBED_BYTES = 4 * 2**20

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
    pretended = None if pipe else what_is_pretended(path)
    if pretended is not None:
        raise InputError(path, pretended)
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
        "max_streams": str(MAX_STREAMS),
    }
    try:
        # Bytes that are no UTF-8 are carried as they are; only the terminal is spared them.
        container = av.open(pipe or f"file:{path}", "r", options=options, metadata_errors="surrogateescape")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise_what_came(pipe)
        raise InputError(path, _why_unopened(path, error)) from error
    raise_what_came(pipe)
    if len(container.streams) >= MAX_STREAMS:
        container.close()
        raise InputError(path, f"holds {MAX_STREAMS} streams or more; so many are not read")
    return container


def packets_of(container: InputContainer, streams: tuple[Stream, ...]) -> Iterator[StreamPacket]:
    """As ``container.demux(streams)``, also where more streams turn up than the header told.

    PyAV 18.1 then stumbles in its flush, behind the empty packets of the streams that it knows.
    """
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):
            return
        yield packet


def limit_frame_size(path: str, video: VideoCodecContext) -> None:
    """Refuse a picture that is too large to be painted, and have the decoder refuse one that grows later.

    Raises:
        InputError: the header tells such a size.
    """
    check_frame_size(path, max(video.width, video.coded_width), max(video.height, video.coded_height))
    video.options = {**video.options, "max_pixels": str(MAX_PIXELS)}


def check_frame_size(path: str, width: int, height: int) -> None:
    """Refuse frames that are too large to be painted.

    Raises:
        InputError: they are.
    """
    if width * height > MAX_PIXELS or max(width, height) > LONGEST_SIDE_PX:
        most = f"{MAX_PIXELS // 10**6} million pixels, {LONGEST_SIDE_PX} a side"
        raise InputError(path, f"its frames are said to be {width}x{height}; more than {most}, are not read")


class Storage:
    """What lies below a file: FFmpeg takes a failing disk, and a file that shrinks, for the end of the film.

    Args:
        path: of the file as the user named it; of a pipe nothing can be told.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = os.path.getsize(path) if os.path.isfile(path) else None
        self._packets = 0
        self._place = 0

    def count(self, place: int | None) -> None:
        """A packet has come that began at byte ``place``.

        Raises:
            InputError: there have been more than the file can hold.
        """
        self._packets += 1
        self._place = max(self._place, place or 0)
        if self._size is not None and self._packets > self._size + MAX_STREAMS:
            raise InputError(self._path, "gives packets without end; it is damaged, or made to be so")

    def check(self) -> None:
        """Find out, where reading met its end or failed, whether that was the file's fault.

        Raises:
            InputError: the file cannot be read there, or has become shorter.
        """
        if self._size is None:
            return
        try:
            with open(self._path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(min(self._place, size))
                file.read(PROBED_BYTES)
        except FileNotFoundError:
            return  # taken away while it was read: what is open stays readable
        except OSError as error:
            raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error
        if size < self._size:
            raise InputError(self._path, f"became shorter while it was read, {size} bytes of {self._size}; try again")


def _why_unopened(path: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read; check its permissions"
    missing = what_is_missing(path, "mov")
    if missing is not None:
        return f"has no index that can be read, without which none of it can be painted ({missing})"
    hint = "; an mp4 needs its index in front to be piped (faststart), mkv always works" if path == "-" else ""
    if isinstance(error, av.ArgumentError):
        return f"is not a video format that is opened; playlists, scripts and lists of pictures are not{hint}"
    reason = reason_of(error)
    return f"is not a video that can be read ({reason}); check that the file is complete and a video{hint}"
