"""A stream to a server or a player: RTMP, RTSP or UDP, connected anew when it breaks."""

import math
import time
from collections.abc import Callable
from fractions import Fraction
from urllib.parse import urlsplit

import av
from av.audio.frame import AudioFrame

from pipeline.errors import first_line
from pipeline.live.frames import LiveFrame
from pipeline.live.muxer import Form, LiveMuxer, SoundQueue
from pipeline.live.sink import SinkError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
CONNECT_SECONDS = 5.0
# Most that is sent, averaged over a second: bits for each pixel. Brush strokes are harder to compress than a camera's
# picture; at 1280x720 and 30 pictures a second it comes to 4 Mbit/s.
BITS_PER_PIXEL = 0.15

_FLV = Form("flv", {"flvflags": "no_duration_filesize"}, timeout_seconds=CONNECT_SECONDS)
_MPEGTS = Form("mpegts", {"mpegts_flags": "resend_headers"}, timeout_seconds=CONNECT_SECONDS)
_RTSP = Form("rtsp", {"rtsp_transport": "tcp"}, timeout_seconds=CONNECT_SECONDS)
FORMS = {"rtmp": _FLV, "rtmps": _FLV, "rtsp": _RTSP, "udp": _MPEGTS, "tcp": _MPEGTS}


def check_stream(url: str) -> Form:
    """What travels to ``url``.

    Raises:
        ValueError: it is no address that a stream can be sent to.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme == "srt":
        raise ValueError(f"{url}: PyAV's wheels come without srt; use rtmp, rtsp or udp")
    if scheme not in FORMS or not urlsplit(url).netloc:
        raise ValueError(f"{url}: a stream goes to rtmp://, rtmps://, rtsp://, udp:// or tcp://")
    return FORMS[scheme]


class StreamSink:
    """Sends pictures, and sound where there is some; a connection that breaks is made again, ever more seldom.

    Args:
        url: where to, see `FORMS`.
        notify: told, in one line each, when the connection is lost and when it is there again.
        sound: whether sound will come.
        clock: monotonic seconds.

    Raises:
        ValueError: see `check_stream`.
    """

    main_thread = False

    def __init__(
        self,
        url: str,
        notify: Callable[[str], None],
        *,
        sound: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._form = check_stream(url)
        self._url, self._notify, self._clock = url, notify, clock
        self.name = f"stream {shown(url)}"
        self._has_sound = sound
        self._sounds = SoundQueue()
        self._muxer: LiveMuxer | None = None
        self._wait = FIRST_WAIT_SECONDS
        self._next_try = -math.inf
        self._was_connected = False

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Remember size and rate; the connection begins with the first picture."""
        self._size, self._fps = (width, height), fps

    def write(self, frame: LiveFrame) -> None:
        """Send ``frame``; while there is no connection, try to get one when it is time to, and let the frame go.

        Raises:
            SinkError: the very first connection fails, as with a wrong address.
        """
        sounds = self._sounds.take()
        if self._muxer is None and self._clock() < self._next_try:
            return
        try:
            muxer = self._muxer or self._connect(frame.captured_at)
            muxer.write(frame, sounds)
        except (av.FFmpegError, OSError) as error:
            self._lose(error)
            return
        if self._wait > FIRST_WAIT_SECONDS:
            self._wait = FIRST_WAIT_SECONDS
            self._notify(f"{self.name}: connected again")

    def idle(self) -> None:
        """Keep the sound flowing while no pictures come."""
        sounds = self._sounds.take()
        if self._muxer is not None:
            try:
                self._muxer.write_sound(sounds)
            except (av.FFmpegError, OSError) as error:
                self._lose(error)

    def sound(self, frame: AudioFrame) -> None:
        """Take sound; sent with the next picture."""
        self._sounds.put(frame)

    def close(self) -> None:
        """Say goodbye to the server, where there is one."""
        if self._muxer is None:
            return
        muxer, self._muxer = self._muxer, None
        try:
            muxer.finish()
        except (av.FFmpegError, OSError):
            muxer.abandon()  # the server has gone first

    def _connect(self, origin: float) -> LiveMuxer:
        width, height = self._size
        bits = round(BITS_PER_PIXEL * width * height * float(self._fps))
        options = {"tune": "zerolatency", "maxrate": str(bits), "bufsize": str(bits), **self._form.video_options}
        form = Form(self._form.container, self._form.options, options, self._form.timeout_seconds)
        self._muxer = LiveMuxer(self._url, form, self._size, self._fps, origin, has_sound=self._has_sound)
        self._was_connected = True
        return self._muxer

    def _lose(self, error: Exception) -> None:
        """Wait twice as long as the last time; said once for each loss.

        Raises:
            SinkError: there never was a connection.
        """
        if self._muxer is not None:
            self._muxer.abandon()
            self._muxer = None
        reason = getattr(error, "strerror", None) or first_line(error)
        if not self._was_connected:
            raise SinkError(
                self.name, f"no connection ({reason}); is the server there, and the address right?"
            ) from error
        if self._wait == FIRST_WAIT_SECONDS:
            self._notify(f"{self.name}: the connection broke ({reason}); trying again")
        self._next_try = self._clock() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)


def shown(url: str) -> str:
    """``url`` without what may be secret: user, password, and all behind the first name of its path."""
    parts = urlsplit(url)
    place = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    first, *further = parts.path.strip("/").split("/")
    return "/".join([f"{parts.scheme}://{place}", *([first] if first else []), *(["..."] if further else [])])
