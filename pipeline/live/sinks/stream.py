"""Stream to a server or a player by RTMP, RTSP, UDP or TCP; reconnect when the connection breaks."""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import IO, cast

import av
from av.audio.frame import AudioFrame

from pipeline.live.capture.address import redacted
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import stream_process
from pipeline.live.sinks.sink import Sink, SinkError
from pipeline.live.sinks.writer import ContainerFormat, LiveWriter

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
CLOSE_SECONDS = 5.0
# Bit rate limit per pixel and frame. Brush strokes are harder to compress than camera frames; at 1280x720 and 30 fps
# this is 4 Mbit/s.
BITS_PER_PIXEL = 0.15
# FFmpeg's name of the container format that each protocol carries.
PROTOCOL_FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}


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


class StreamSink(Sink):
    """Sends frames and audio; reconnects after a pause that doubles up to half a minute.

    Args:
        url: where to send, see `PROTOCOL_FORMATS`.
        notify: called with a line when the connection breaks and when it is restored.
        has_audio: whether to add an audio track.
        stall_seconds: longest time that connecting or sending a packet may take.
        clock: current time in seconds.
        connect: makes a connection from URL, format, a function that makes the writer, and ``stall_seconds``.

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
        connect: "Callable[[str, str, Callable[[IO[bytes]], LiveWriter], float], Connection] | None" = None,
    ) -> None:
        self._format = stream_format(url)
        self._url, self._notify, self._clock = url, notify, clock
        self._stall_seconds, self._new_connection = stall_seconds, connect or Connection
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
        """Send ``frame``. Without a connection, connect once the pause is over; until then discard frames.

        Raises:
            SinkError: the first connection of the session fails, as for a wrong address.
        """
        if self._connection is None and self._clock() >= self._next_attempt:
            self._connection = self._connect(frame.captured_at)
        self._send(lambda connection: connection.write(frame))

    def write_audio(self, frame: AudioFrame) -> None:
        """Send audio; without a connection it is discarded.

        Raises:
            SinkError: see `write`.
        """
        self._send(lambda connection: connection.write_audio(frame))

    def close(self) -> None:
        """Close the connection in order."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self, origin: float) -> "Connection":
        width, height = self._size
        bits = str(round(BITS_PER_PIXEL * width * height * float(self._fps)))
        options = {"tune": "zerolatency", "maxrate": bits, "bufsize": bits}
        make_writer = partial(
            LiveWriter,
            format=ContainerFormat("nut", {"write_index": "0"}, options),
            size=self._size,
            fps=self._fps,
            origin=origin,
            has_audio=self._has_audio,
        )
        return self._new_connection(self._url, self._format, make_writer, self._stall_seconds)

    def _send(self, send: "Callable[[Connection], None]") -> None:
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
        if not self._was_connected:
            raise SinkError(self.name, f"no connection ({reason}); check that the server runs and the address is right")
        if not self._is_lost:
            self._is_lost = True
            self._notify(f"{self.name}: connection lost ({reason}); reconnecting")
        self._next_attempt = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)


class Connection:
    """A connection in a process of its own, see `pipeline.live.sinks.stream_process`.

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
        # -P: import nothing from the script's own folder.
        self._process = subprocess.Popen(
            [sys.executable, "-P", stream_process.__file__, format, str(stall_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | {stream_process.ADDRESS: url},  # not an argument: those are visible to all users
        )
        self._listener = threading.Thread(target=self._listen, name="stream", daemon=True)
        self._listener.start()
        self._writer: LiveWriter | None = None
        with suppress(av.FFmpegError, OSError):  # if the process has ended already, writing fails
            self._writer = make_writer(cast("IO[bytes]", self._process.stdin))

    def write(self, frame: LiveFrame) -> None:
        """Send a frame.

        Raises:
            av.FFmpegError, OSError: the connection is broken.
        """
        if self._writer is None:
            raise BrokenPipeError
        self._writer.write(frame)

    def write_audio(self, frame: AudioFrame) -> None:
        """Send audio; raises as `write` does."""
        if self._writer is None:
            raise BrokenPipeError
        self._writer.write_audio(frame)

    def close(self) -> str:
        """Close the connection; return why it broke, if it did."""
        if self._writer is not None:
            try:
                self._writer.finish()
            except (av.FFmpegError, OSError, ValueError):
                self._writer.abandon()
        with suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        return self._reason

    def _listen(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as lines:
            for line in lines:
                message = json.loads(line)
                self.is_connected = self.is_connected or "connected" in message
                self._reason = message.get("error", self._reason)
