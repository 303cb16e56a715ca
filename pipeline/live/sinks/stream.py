"""A stream to a server or a player: RTMP, RTSP or UDP, connected anew when it breaks."""

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
from typing import IO, cast

import av
from av.audio.frame import AudioFrame

from pipeline.live.capture.address import END, shown
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import stream_process
from pipeline.live.sinks.muxer import AudioQueue, Form, LiveMuxer
from pipeline.live.sinks.sink import Sink, SinkError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
GOODBYE_SECONDS = 5.0
# Most that is sent, averaged over a second: bits for each pixel. Brush strokes are harder to compress than a camera's
# picture; at 1280x720 and 30 pictures a second it comes to 4 Mbit/s.
BITS_PER_PIXEL = 0.15
# What FFmpeg calls the format that each protocol carries.
FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}


def check_stream(url: str) -> str:
    """FFmpeg's name of what travels to ``url``.

    Raises:
        ValueError: it is no address that a stream can be sent to.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "srt":
        raise ValueError(f"{shown(url)}: PyAV's wheels come without srt; use rtmp, rtsp or udp")
    if scheme not in FORMATS or not END.split(rest)[0]:
        raise ValueError(f"{shown(url)}: a stream goes to rtmp://, rtmps://, rtsp://, udp:// or tcp://")
    return FORMATS[scheme]


class StreamSink(Sink):
    """Sends pictures, and sound where there is some; a connection that breaks is made again, ever more seldom.

    Args:
        url: where to, see `FORMATS`.
        notify: told, in one line each, when the connection is lost and when it is there again.
        audio: whether sound will come.
        clock: monotonic seconds.

    Raises:
        ValueError: see `check_stream`.
    """

    def __init__(
        self,
        url: str,
        notify: Callable[[str], None],
        *,
        audio: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._format = check_stream(url)
        self._url, self._notify, self._clock = url, notify, clock
        self.name = f"stream {shown(url)}"
        self._has_sound = audio
        self._sounds = AudioQueue()
        self._link: _Link | None = None
        self._wait = FIRST_WAIT_SECONDS
        self._next_try = -math.inf
        self._was_connected = self._is_lost = False

    @property
    def is_connected(self) -> bool:
        """Whether pictures are sent to someone, rather than let go."""
        return self._link is not None and self._link.is_connected

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Remember size and rate; the connection begins with the first picture."""
        self._size, self._fps = (width, height), fps

    def write(self, frame: LiveFrame) -> None:
        """Send ``frame``; while there is no connection, make one when it is time to, and let the frame go.

        Raises:
            SinkError: the very first connection fails, as with a wrong address.
        """
        audios = self._sounds.take()
        if self._link is None:
            if self._clock() < self._next_try:
                return
            self._link = self._connect(frame.captured_at)
        self._send(self._link, frame, audios)

    def idle(self) -> None:
        """Keep the sound flowing while no pictures come.

        Raises:
            SinkError: see `write`.
        """
        audios = self._sounds.take()
        if self._link is not None:
            self._send(self._link, None, audios)

    def audio(self, frame: AudioFrame) -> None:
        """Take sound; sent with the next picture."""
        self._sounds.put(frame)

    def close(self) -> None:
        """Say goodbye to the server, where there is one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connect(self, origin: float) -> "_Link":
        width, height = self._size
        bits = str(round(BITS_PER_PIXEL * width * height * float(self._fps)))
        options = {"tune": "zerolatency", "maxrate": bits, "bufsize": bits}
        form = Form("nut", {"write_index": "0"}, options)
        return _Link(
            self._url,
            self._format,
            lambda file: LiveMuxer(file, form, self._size, self._fps, origin, has_audio=self._has_sound),
        )

    def _send(self, link: "_Link", frame: LiveFrame | None, audios: list[AudioFrame]) -> None:
        try:
            link.send(frame, audios)
        except (av.FFmpegError, OSError):
            self._link = None
            reason = link.close()  # after which all is heard that the connection had to say
            self._was_connected = self._was_connected or link.is_connected
            self._lose(reason)
            return
        self._was_connected = self._was_connected or link.is_connected
        if link.is_connected and self._is_lost:
            self._is_lost, self._wait = False, FIRST_WAIT_SECONDS
            self._notify(f"{self.name}: connected again")

    def _lose(self, reason: str) -> None:
        """Wait twice as long as the last time; said once for each loss."""
        if not self._was_connected:
            remedy = "is the server there, and the address right?"
            raise SinkError(self.name, f"no connection ({reason}); {remedy}")
        if not self._is_lost:
            self._is_lost = True
            self._notify(f"{self.name}: the connection broke ({reason}); trying again")
        self._next_try = self._clock() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)


class _Link:
    """One connection, which lives in a process: see `pipeline.live.sinks.stream_process`.

    Args:
        url: where to.
        form: FFmpeg's name of the format.
        make_muxer: makes what writes into the process.
    """

    def __init__(self, url: str, form: str, make_muxer: Callable[[IO[bytes]], LiveMuxer]) -> None:
        self.is_connected = False
        self._reason = "it does not answer"
        # -P: the script's own folder is no place to import from.
        command = [sys.executable, "-P", stream_process.__file__, form]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | {stream_process.ADDRESS: url},  # no command shows the key, where flowbrush's own has @FILE
        )
        self._listener = threading.Thread(target=self._listen, name="stream", daemon=True)
        self._listener.start()
        self._muxer: LiveMuxer | None = None
        with suppress(av.FFmpegError, OSError):  # it has ended already; sending tells
            self._muxer = make_muxer(cast("IO[bytes]", self._process.stdin))

    def send(self, frame: LiveFrame | None, audios: list[AudioFrame]) -> None:
        """Send sound, and a picture where there is one.

        Raises:
            av.FFmpegError, OSError: the connection is broken.
        """
        if self._muxer is None:
            raise BrokenPipeError
        if frame is None:
            self._muxer.write_audio(audios)
        else:
            self._muxer.write(frame, audios)

    def close(self) -> str:
        """End the connection; return why it broke, if it did."""
        if self._muxer is not None:
            try:
                self._muxer.finish()
            except (av.FFmpegError, OSError, ValueError):
                self._muxer.abandon()
        with suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        try:
            self._process.wait(GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        return self._reason

    def _listen(self) -> None:
        with cast("IO[bytes]", self._process.stdout) as lines:
            for line in lines:
                said = json.loads(line)
                self.is_connected = self.is_connected or "connected" in said
                self._reason = said.get("error", self._reason)
