"""Stream to a server or a player by RTMP, RTSP, UDP or TCP; reconnect when the connection breaks."""

import errno
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import IO, Any

import av
from av.audio.frame import AudioFrame

from pipeline.live.capture.connection.address import redacted
from pipeline.live.capture.connection.tls import SCHEMES, verification
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import stream_process
from pipeline.live.sinks.script_process import ScriptProcess
from pipeline.live.sinks.sink import Sink, SinkError
from pipeline.live.sinks.writer import LiveWriter

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
CLOSE_SECONDS = 5.0
# Bit rate limit per pixel and frame. Brush strokes are harder to compress than camera frames; at 1280x720 and 30 fps
# this is 4 Mbit/s.
BITS_PER_PIXEL = 0.15
# FFmpeg's name of the container format that each protocol carries.
PROTOCOL_FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}

NOT_VERIFIED = "; the certificate may not be valid: for one that you signed yourself, set SSL_CERT_FILE to it"


def stream_format(url: str) -> str:
    """Return FFmpeg's name of the container format that is sent to ``url``.

    Raises:
        ValueError: the URL has no host or its scheme is not supported.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "srt":
        raise ValueError(f"{redacted(url)}: srt is not supported, as PyAV is built without it; use rtmp, rtsp or udp")
    if scheme not in PROTOCOL_FORMATS or rest[:1] in "/?#":
        supported = ", ".join(f"{known}://" for known in PROTOCOL_FORMATS)
        raise ValueError(f"{redacted(url)}: a stream needs one of {supported} and a host")
    return PROTOCOL_FORMATS[scheme]


class Connection:
    """A connection in a separate process, see `pipeline.live.sinks.stream_process`.

    Args:
        url: where to send.
        format: FFmpeg's name of the container format.
        make_writer: makes the writer, given the file object that leads into the process.
        stall_seconds: longest time that connecting or sending a packet may take.

    Attributes:
        is_connected: whether the server has answered.
    """

    def __init__(
        self, url: str, format: str, make_writer: Callable[[IO[bytes]], LiveWriter], stall_seconds: float
    ) -> None:
        self.is_connected = False
        self._reason = "no answer"
        self._is_encrypted = url.partition("://")[0].lower() in SCHEMES
        self._process = ScriptProcess(
            stream_process.__file__,
            format,
            str(stall_seconds),
            json.dumps(verification() if self._is_encrypted else {}),
            on_message=self._handle,
            environment={stream_process.ADDRESS: url},  # not an argument: those are visible to all users
            bufsize=0,
        )
        self._writer: LiveWriter | None = None
        with suppress(av.FFmpegError, OSError):  # if the process has ended already, writing fails
            self._writer = make_writer(self._process.stdin)

    @property
    def writer(self) -> LiveWriter:
        """What to write into; it raises FFmpegError or OSError if the connection is broken, as this property does."""
        if self._writer is None:
            raise BrokenPipeError
        return self._writer

    def close(self) -> str:
        """Close the connection; return why it broke, if it did."""
        if self._writer is not None:
            try:
                self._writer.finish()
            except (av.FFmpegError, OSError, ValueError):
                self._writer.abandon()
        self._process.close(CLOSE_SECONDS)
        return self._reason

    def _handle(self, message: dict[str, Any]) -> None:
        self.is_connected = self.is_connected or "connected" in message
        if "error" in message:
            # All that FFmpeg reports of a certificate that it does not accept.
            is_refused = self._is_encrypted and not self.is_connected and message["errno"] == errno.EIO
            self._reason = message["error"] + (NOT_VERIFIED if is_refused else "")


class StreamSink(Sink):
    """Sends frames and audio; reconnects after a pause that doubles up to half a minute.

    Args:
        url: where to send, see `PROTOCOL_FORMATS`.
        notify: called with a line when the connection breaks and when it is restored.
        has_audio: whether to add an audio track.
        stall_seconds: longest time that connecting or sending a packet may take.
        clock: current time in seconds.
        connect: makes a connection from the arguments of `Connection`.

    Raises:
        ValueError: see `stream_format`.
    """

    def __init__(
        self,
        url: str,
        notify: Callable[[str], None],
        *,
        has_audio: bool = False,
        stall_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        connect: Callable[[str, str, Callable[[IO[bytes]], LiveWriter], float], Connection] = Connection,
    ) -> None:
        self._format = stream_format(url)
        self._url, self._notify, self._clock = url, notify, clock
        self._stall_seconds, self._make_connection = stall_seconds, connect
        self.name = f"stream {redacted(url)}"
        self._has_audio = has_audio
        self._connection: Connection | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._next_attempt = -math.inf
        self._was_connected = self._is_lost = False

    @property
    def is_connected(self) -> bool:
        """Whether frames are sent, rather than discarded."""
        return self._connection is not None and self._connection.is_connected

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Store size and rate; the first frame starts the connection."""
        self._size, self._fps = (width, height), fps

    def write(self, frame: LiveFrame) -> None:
        """Send ``frame``; without a connection it is discarded until the pause before the next attempt is over."""
        if self._connection is None and self._clock() >= self._next_attempt:
            self._connection = self._connect(frame.captured_at)
        self._send(lambda connection: connection.writer.write(frame))

    def write_audio(self, frame: AudioFrame) -> None:
        """Send audio; without a connection it is discarded."""
        self._send(lambda connection: connection.writer.write_audio(frame))

    def close(self) -> None:
        """Close the connection in order."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self, origin: float) -> Connection:
        width, height = self._size
        bits = str(round(BITS_PER_PIXEL * width * height * float(self._fps)))
        make_writer = partial(
            LiveWriter,
            format="nut",
            options={"write_index": "0"},
            video_options={"tune": "zerolatency", "maxrate": bits, "bufsize": bits},
            size=self._size,
            fps=self._fps,
            origin=origin,
            has_audio=self._has_audio,
        )
        return self._make_connection(self._url, self._format, make_writer, self._stall_seconds)

    def _send(self, send: Callable[[Connection], None]) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            send(connection)
        except (av.FFmpegError, OSError):
            self._connection = None
            reason = connection.close()  # now everything that its process reported has been read
            self._was_connected = self._was_connected or connection.is_connected
            self._retry_later(reason)
            return
        self._was_connected = self._was_connected or connection.is_connected
        if connection.is_connected and self._is_lost:
            self._is_lost, self._pause = False, FIRST_PAUSE_SECONDS
            self._notify(f"{self.name}: reconnected")

    def _retry_later(self, reason: str) -> None:
        if not self._was_connected:  # such as for a wrong address
            raise SinkError(self.name, f"no connection ({reason}); check that the server runs and the address is right")
        if not self._is_lost:
            self._is_lost = True
            self._notify(f"{self.name}: connection lost ({reason}); reconnecting")
        self._next_attempt = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
