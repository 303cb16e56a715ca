"""Live pictures and sound on their way into a file or a stream: encoded as they come, each at its own moment."""

import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.frames import Pixels
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.audio_track import LAYOUT, RATE, AudioTrack
from pipeline.media.colorspace import BT709, EXACT, swscale_matrix

TICK = Fraction(1, 90000)
KEY_SECONDS = 2.0
SOUND_BITS = 160_000
# Pieces that wait for the next picture are kept for so long; a camera that is gone must not fill the memory.
SOUND_SECONDS = 5.0
# FFmpeg holds back the picture until there is sound of the same time; a microphone that fell silent must not stop it.
INTERLEAVE_MICROSECONDS = "500000"
LARGE_PX = 1280 * 720


@dataclass(frozen=True, slots=True)
class Form:
    """How pictures and sound are packed.

    Attributes:
        container: FFmpeg's name of the format.
        options: of the format.
        video_options: of libx264.
    """

    container: str
    options: Mapping[str, str] = field(default_factory=dict)
    video_options: Mapping[str, str] = field(default_factory=dict)


class AudioQueue:
    """Pieces of sound between the thread that hears them and the one that writes; the oldest go first."""

    def __init__(self) -> None:
        self._pieces: deque[AudioFrame] = deque()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def put(self, frame: AudioFrame) -> None:
        """Add a piece; never waits."""
        with self._lock:
            self._pieces.append(frame)
            self._seconds += frame.samples / frame.sample_rate
            while self._seconds > SOUND_SECONDS:
                oldest = self._pieces.popleft()
                self._seconds -= oldest.samples / oldest.sample_rate

    def take(self) -> list[AudioFrame]:
        """All there is."""
        with self._lock:
            pieces, self._seconds = list(self._pieces), 0.0
            self._pieces.clear()
            return pieces


class LiveMuxer:
    """One recording, or one connection; its time zero is the first picture. For one thread.

    Args:
        target: a file's name, or something to write into.
        form: how.
        size: width and height of the pictures in pixels; an odd last column or row is left out.
        fps: about how many come a second; each is written at its own moment all the same.
        origin: moment of the first picture, in seconds of `time.monotonic`.
        has_sound: whether there is to be a track of sound.

    Raises:
        av.FFmpegError, OSError: from every method, where the encoder, the disk or the connection refuses.
    """

    def __init__(
        self,
        target: str | IO[bytes],
        form: Form,
        size: tuple[int, int],
        fps: Fraction,
        origin: float,
        *,
        has_audio: bool,
    ) -> None:
        self._origin = origin
        self._width, self._height = size[0] // 2 * 2, size[1] // 2 * 2
        self._reformatter = VideoReformatter()
        self._last_pts, self._key_pts = -1, -round(KEY_SECONDS / TICK)
        options = {"max_interleave_delta": INTERLEAVE_MICROSECONDS, "flush_packets": "1", **form.options}
        self._container: OutputContainer = av.open(target, "w", format=form.container, container_options=options)
        try:
            self._video = self._add_video(form, fps)
            self._audio = self._add_sound() if has_audio else None
            self._track = AudioTrack(origin)
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: LiveFrame, audio: list[AudioFrame]) -> None:
        """Add a picture at the moment it was captured, and the sound that has come until then."""
        self.write_audio(audio)
        self._container.mux(self._video.encode(self._picture(frame)))

    def write_audio(self, audio: list[AudioFrame]) -> None:
        """Add pieces of sound, each at its moment; without a track of sound they are let go."""
        if self._audio is None:
            return
        for frame in audio:
            for piece in self._track.pieces(frame):
                self._container.mux(self._audio.encode(piece))

    def finish(self) -> None:
        """Flush the encoders, write what the container wants at its end, and close it."""
        try:
            self._container.mux(self._video.encode(None))
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close what is broken already; never raises."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _add_video(self, form: Form, fps: Fraction) -> VideoStream:
        options = {"preset": "superfast", "crf": "21", "bf": "0", "forced-idr": "1", **form.video_options}
        stream = self._container.add_stream("libx264", rate=fps, options=options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self._width, self._height, "yuv420p"
        stream.time_base = context.time_base = TICK
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1
        # Every thread of the encoder is one that the painter does not have.
        context.thread_count = 1 if self._width * self._height <= LARGE_PX else 2
        return stream

    def _add_sound(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=RATE)
        stream.codec_context.layout = LAYOUT
        stream.codec_context.bit_rate = SOUND_BITS
        return stream

    def _picture(self, frame: LiveFrame) -> VideoFrame:
        pixels: Pixels = np.ascontiguousarray(frame.pixels[: self._height, : self._width])
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuv420p",
            src_color_range=2,
            dst_colorspace=swscale_matrix(BT709),
            dst_color_range=1,
            interpolation=EXACT,
            threads=1,
        )
        picture.color_primaries = picture.color_trc = BT709
        pts = max(round((frame.captured_at - self._origin) / TICK), self._last_pts + 1)
        picture.pts, picture.time_base, self._last_pts = pts, TICK, pts
        # By time, not by number: pictures may come seldom.
        if (pts - self._key_pts) * TICK >= KEY_SECONDS:
            picture.pict_type, self._key_pts = PictureType.I, pts
        return picture
