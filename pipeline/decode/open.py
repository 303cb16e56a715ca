"""Opening untrusted input: only local files and standard input, only with demuxers that open nothing else."""

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import IO

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pipeline.decode.container_check import find_inflated_index, find_truncation
from pipeline.decode.index.check import IndexGuard
from pipeline.decode.reader import main_video
from pipeline.decode.timeline.clock import TICK, ContinuousClock
from pipeline.decode.timeline.clock_samples import is_even
from pipeline.decode.timeline.clock_scan import ClockJumps, may_jump
from pipeline.decode.timeline.hidden_audio import HiddenAudio
from pipeline.errors import InputError, reason_of
from pipeline.media.packets import StreamPacket

# A whitelist of protocols is not enough: a playlist or script named .mp4 opens other files.
DEMUXERS = (
    "3dostr,aac,ac3,aiff,amr,apng,asf,av1,avi,dts,dv,eac3,flac,flv,gif,h263,h264,hevc,ivf,live_flv,m4v,matroska,webm,"
    "mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,nuv,obu,ogg,rm,roq,tta,vc1,vvc,w64,wav,wtv,"
    "yuv4mpegpipe"
)
# Limits of a frame: 12K is 80 million pixels. FFmpeg's own limit is three times as high, and decoders hold 16 frames
# and more.
MAX_PIXELS, MAX_SIDE_PX = 100_000_000, 16_384
# Fonts are streams too: a film has a hundred at most. FFmpeg silently drops streams beyond its limit.
MAX_STREAMS = 1000
# Bytes read again after FFmpeg met an end or an error, to tell a damaged file from a failing disk.
PROBED_BYTES = 4 * 2**20
# A demuxer that fails so often in a row does not recover.
MAX_FAILURES = 100
# How long `Pipe.stop` may go unnoticed by a read.
WAIT_SECONDS = 0.2


class InputFile:
    """An open input that checks what FFmpeg takes for its end: a failing disk, or a file that shrinks.

    If the clock of the file restarts or jumps, all times are those of a `ContinuousClock`, wherever reading starts.

    Args:
        path: a local file, or ``-`` for standard input, which is not checked.
        accelerator: of the decoders; None for software.

    Attributes:
        container: the opened container.

    Raises:
        InputError: it cannot be opened.
    """

    def __init__(self, path: str, accelerator: HWAccel | None = None) -> None:
        self._path = path
        self._pipe: Pipe | None = None
        if path == "-":
            if sys.stdin is None:  # closed by the shell, as by <&-
                raise InputError("-", "standard input is closed; pipe a video in, or give a file name")
            self._pipe = Pipe(sys.stdin.buffer)
        self.container = open_container(path, self._pipe, accelerator)
        self._size = os.path.getsize(path) if os.path.isfile(path) else None
        self._count = self._place = 0
        self.clock_may_jump = may_jump(self.container)
        self._hidden_audio = HiddenAudio(self.container)
        self._is_whole = True
        self._jumps: ClockJumps | None = None

    def packets(self, streams: tuple[Stream, ...], failed: Callable[[av.FFmpegError], None]) -> Iterator[StreamPacket]:
        """Yield the packets of ``streams`` to the end; after an error of the demuxer, call ``failed`` and continue.

        Raises:
            InputError: the file cannot be read, or has more packets than fit into it.
        """
        if self.clock_may_jump and self._is_whole:
            every, wanted = tuple(self.container.streams), {stream.index for stream in streams}
            packets = ContinuousClock(every).continuous(self.stored_packets(every, failed))
            return (packet for packet in packets if packet.stream.index in wanted)
        packets = self.stored_packets(streams, failed)
        return self._hidden_audio.removed(packets) if self._jumps is None else self._jumps.moved(packets)

    def seek(self, seconds: Fraction, video: VideoStream) -> None:
        """Go to a key frame of ``video`` at or before ``seconds``, as far as the container's index is right.

        Raises:
            av.FFmpegError: the container cannot seek; the file may be at its end.
            InputError: the file cannot be read.
        """
        self._is_whole = False
        if self.clock_may_jump and self._size is not None:
            self._jumps = find_jumps(self._path, _signature(self._path))
            if self._jumps:
                place = self._jumps.key_place(int(seconds / TICK))
                self.container.seek(place, unsupported_byte_offset=True)
                return
        self.container.seek(int(seconds // (video.time_base or TICK)), stream=video)

    def seconds_between_jumps(self) -> float | None:
        """Return the duration of the video if the clock jumps so that FFmpeg's estimate must be wrong; else None."""
        try:
            if not self.clock_may_jump or self._size is None or is_even(self._path):
                return None
        except OSError:
            return None  # reading will report this
        return find_jumps(self._path, _signature(self._path)).seconds

    def stored_packets(
        self, streams: tuple[Stream, ...], failed: Callable[[av.FFmpegError], None] = lambda error: None
    ) -> Iterator[StreamPacket]:
        """Yield the packets of ``streams`` as `packets` does, but with the times that are stored in the file."""
        failures = 0
        while failures < MAX_FAILURES:
            try:
                for packet in self._demux(streams):
                    failures = 0
                    self._count_packet(packet)
                    yield packet
                self._check_file()
                return
            except av.FFmpegError as error:
                self._check_file()
                failures += 1
                failed(error)
            except OSError as error:
                raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error

    def _demux(self, streams: tuple[Stream, ...]) -> Iterator[StreamPacket]:
        packets = self.container.demux(streams)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):
                # IndexError: more streams have appeared than the header declares, and PyAV 18.1 stumbles over them at
                # the end, after the empty packets of the streams that it knows.
                return
            finally:
                if self._pipe is not None:
                    self._pipe.raise_interruption()
            yield packet

    def _count_packet(self, packet: StreamPacket) -> None:
        self._count += 1
        self._place = max(self._place, packet.pos or 0)
        if self._size is not None and self._count > self._size + MAX_STREAMS:
            raise InputError(self._path, "gives packets without end; it is damaged or malicious")

    def _check_file(self) -> None:
        """Check, at the end or after an error, that the file is readable there and as long as before."""
        if self._size is None:
            return
        try:
            with open(self._path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(min(self._place, size))
                file.read(PROBED_BYTES)
        except FileNotFoundError:
            return  # removed while it was read: the open file stays readable
        except OSError as error:
            raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error
        if size < self._size:
            raise InputError(self._path, f"shrank while it was read, to {size} of {self._size} bytes; try again")

    def stop(self) -> None:
        """End a wait for standard input; reading a file does not block."""
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        """Close the input."""
        self.container.close()


@lru_cache(maxsize=16)
def find_jumps(path: str, signature: tuple[int, ...]) -> ClockJumps:
    """Return where the clock of the file at ``path`` jumps.

    Args:
        path: of the file.
        signature: differs if the file was changed since it was read the last time.

    Raises:
        InputError: the file cannot be read.
    """
    file = InputFile(path)
    try:
        streams = tuple(file.container.streams)
        return ClockJumps(file.stored_packets(streams), streams, main_video(file.container, path))
    finally:
        file.close()


def _signature(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(path, f"cannot be read any further ({reason_of(error)})") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Pipe:
    """Standard input as a stream without seeking, even if it is a file; its reads can be ended from another thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._interruption: BaseException | None = None
        self._file = file
        self._stopped = threading.Event()
        self._guard = IndexGuard()

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes as soon as there are any; none at the end of input or after `stop`.

        Raises:
            InputError: FFmpeg would take too much memory for what comes.
        """
        data = self._read(size)
        problem = self._guard.find_fault(data)
        if problem is not None:
            raise InputError("-", problem)
        return data

    def _read(self, size: int) -> bytes:
        try:
            if os.name != "posix":  # where select only waits for sockets
                return self._file.read(size)
            while not self._stopped.is_set():
                if select.select([self._file], [], [], WAIT_SECONDS)[0]:
                    return os.read(self._file.fileno(), size)
        except Exception:
            raise  # PyAV passes these on
        except BaseException as error:  # noqa: BLE001 - FFmpeg, the caller, cannot pass it on; see raise_interruption
            self._interruption = error
            self.stop()
        return b""

    def raise_interruption(self) -> None:
        """Raise the interruption (as by Ctrl-C) that came during a read."""
        if self._interruption is not None:
            raise self._interruption

    def stop(self) -> None:
        """End a waiting `read`, and all later ones."""
        self._stopped.set()


def open_container(path: str, pipe: Pipe | None = None, accelerator: HWAccel | None = None) -> InputContainer:
    """Open a local file, or ``pipe``, with the allowed demuxers only.

    Args:
        path: the file.
        pipe: is read instead of it.
        accelerator: of the decoders; None for software.

    Raises:
        InputError: it cannot be opened.
    """
    problem = None if pipe else find_inflated_index(path)
    if problem is not None:
        raise InputError(path, problem)
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
        "max_streams": str(MAX_STREAMS),
    }
    try:
        # Metadata that is not UTF-8 is kept as it is; only messages escape it.
        file = pipe or f"file:{path}"
        container = av.open(file, "r", options=options, metadata_errors="surrogateescape", hwaccel=accelerator)
    except (av.FFmpegError, OSError, ValueError) as error:
        if pipe is not None:
            pipe.raise_interruption()
        raise InputError(path, _why_not_opened(path, error)) from error
    if pipe is not None:
        pipe.raise_interruption()
    if len(container.streams) >= MAX_STREAMS:
        container.close()
        raise InputError(path, f"has {MAX_STREAMS} streams or more; so many are not supported")
    return container


def limit_frame_size(path: str, video: VideoCodecContext) -> None:
    """Check the frame size of the header, and have the decoder refuse frames that are larger.

    Raises:
        InputError: the size is too large.
    """
    check_frame_size(path, max(video.width, video.coded_width), max(video.height, video.coded_height))
    video.options = {**video.options, "max_pixels": str(MAX_PIXELS)}


def check_frame_size(path: str, width: int, height: int, what: str = "declares") -> None:
    """Check that frames of this size are not too large.

    Raises:
        InputError: they are.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        limit = f"{MAX_PIXELS // 10**6} million pixels and {MAX_SIDE_PX} px per side"
        raise InputError(path, f"{what} frames of {width}x{height}; the limit is {limit}")


def _why_not_opened(path: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "cannot be read: permission denied; check its permissions"
    reason = find_truncation(path, "mov")
    if reason is not None:
        return f"has no readable index, without which nothing can be decoded ({reason})"
    hint = "; an mp4 needs its index at the front to be piped (faststart), mkv always works" if path == "-" else ""
    if isinstance(error, av.ArgumentError):
        return f"is not a video format that is supported; playlists, scripts and image lists are not{hint}"
    return f"is not a video that can be read ({reason_of(error)}); check that the file is complete and a video{hint}"
