"""Encode live frames and audio into a file or a connection, each at the time it was captured."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import IO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.live.frames import LiveFrame
from pipeline.media.pixels.colorspace import BT709, EXACT, swscale_matrix

TIME_BASE = Fraction(1, 90000)
KEY_FRAME_SECONDS = 2.0
AUDIO_BITS_PER_SECOND = 160_000
# FFmpeg holds back video until audio of the same time arrives; a microphone that stops delivering must not stop it.
MAX_INTERLEAVE_MICROSECONDS = "500000"
LARGE_PIXELS = 1280 * 720
RATE = 48000
LAYOUT = "stereo"
# Smaller gaps and overlaps of audio are ignored. They are not audible, and come from the differing clocks of sound card
# and computer, and from frames being seen only when complete.
TOLERANCE_SECONDS = 0.06


class AudioTrack:
    """Joins audio frames with time stamps into a track without gaps: fills gaps with silence, cuts overlaps.

    Args:
        origin: time zero of the track, in seconds of `time.monotonic`.
    """

    def __init__(self, origin: float) -> None:
        self._origin = Fraction(origin)
        self._resampler: AudioResampler | None = None
        self._input_format: tuple[str, str, int] | None = None
        self._next: int | None = None

    def add(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Yield what ``frame`` adds to the track: planar float32 stereo at `RATE`, ``pts`` in samples since zero."""
        if frame.pts is None or not frame.time_base:
            return
        first = round((frame.pts * frame.time_base - self._origin) * RATE)
        samples = self._resample(frame)
        if self._next is None:
            samples, first = samples[:, max(-first, 0) :], max(first, 0)
            if not samples.shape[1]:
                return
            self._next = first
        gap = first - self._next
        if gap > TOLERANCE_SECONDS * RATE:
            # A second at a time: a long pause at once would need much memory.
            for start in range(0, gap, RATE):
                yield self._append(np.zeros((2, min(RATE, gap - start)), np.float32))
        elif gap < -TOLERANCE_SECONDS * RATE:
            samples = samples[:, -gap:]
        if samples.shape[1]:
            yield self._append(samples)

    def _append(self, samples: NDArray[np.float32]) -> AudioFrame:
        assert self._next is not None  # noqa: S101 - for mypy: `add` has set it
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=LAYOUT)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._next
        self._next += samples.shape[1]
        return frame

    def _resample(self, frame: AudioFrame) -> NDArray[np.float32]:
        input_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or input_format != self._input_format:
            self._input_format = input_format
            self._resampler = AudioResampler(format="fltp", layout=LAYOUT, rate=RATE)
        resampled = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate([np.zeros((2, 0), np.float32), *resampled], axis=1).astype(np.float32, copy=False)


class LiveWriter:
    """Writes H.264 video and AAC audio of one recording or connection; time zero is its first frame. Not thread-safe.

    Args:
        target: path or URL, or a file object to write into.
        format: FFmpeg's name of the container format.
        size: width and height of the frames in pixels; an odd last column or row is cropped.
        fps: nominal frame rate; every frame keeps its own time stamp.
        origin: when the first frame was captured, in seconds of `time.monotonic`.
        has_audio: whether to add an audio track.
        options: options for the container.
        video_options: options for libx264.

    Raises:
        av.FFmpegError, OSError: from every method, if encoding or writing fails.
    """

    def __init__(
        self,
        target: str | IO[bytes],
        format: str,
        size: tuple[int, int],
        fps: Fraction,
        origin: float,
        *,
        has_audio: bool,
        options: Mapping[str, str] | None = None,
        video_options: Mapping[str, str] | None = None,
    ) -> None:
        self._origin = origin
        self._width, self._height = size[0] // 2 * 2, size[1] // 2 * 2
        self._reformatter = VideoReformatter()
        self._last_pts, self._key_pts = -1, -round(KEY_FRAME_SECONDS / TIME_BASE)
        container_options = {
            "max_interleave_delta": MAX_INTERLEAVE_MICROSECONDS,
            "flush_packets": "1",
            **(options or {}),
        }
        self._container = av.open(target, "w", format=format, container_options=container_options)
        try:
            self._video = self._add_video(fps, video_options or {})
            self._audio = self._add_audio() if has_audio else None
            self._track = AudioTrack(origin)
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: LiveFrame) -> None:
        """Write a frame at the time it was captured."""
        self._container.mux(self._video.encode(self._convert(frame)))

    def write_audio(self, frame: AudioFrame) -> None:
        """Write audio at its time; without an audio track it is discarded."""
        if self._audio is not None:
            for joined in self._track.add(frame):
                self._container.mux(self._audio.encode(joined))

    def finish(self) -> None:
        """Flush the encoders, write the trailer and close."""
        try:
            self._container.mux(self._video.encode(None))
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close after a failure; never raises."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _add_video(self, fps: Fraction, options: Mapping[str, str]) -> VideoStream:
        options = {"preset": "superfast", "crf": "21", "bf": "0", "forced-idr": "1", **options}
        stream = self._container.add_stream("libx264", rate=fps, options=options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self._width, self._height, "yuv420p"
        stream.time_base = context.time_base = TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1
        # Every encoder thread takes a core from the network.
        context.thread_count = 1 if self._width * self._height <= LARGE_PIXELS else 2
        return stream

    def _add_audio(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=RATE)
        stream.codec_context.layout = LAYOUT
        stream.codec_context.bit_rate = AUDIO_BITS_PER_SECOND
        return stream

    def _convert(self, frame: LiveFrame) -> VideoFrame:
        pixels = np.ascontiguousarray(frame.pixels[: self._height, : self._width])
        converted = self._reformatter.reformat(
            VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuv420p",
            src_color_range=2,
            dst_colorspace=swscale_matrix(BT709),
            dst_color_range=1,
            interpolation=EXACT,
            threads=1,
        )
        converted.color_primaries = converted.color_trc = BT709
        pts = max(round((frame.captured_at - self._origin) / TIME_BASE), self._last_pts + 1)
        converted.pts, converted.time_base, self._last_pts = pts, TIME_BASE, pts
        # By time rather than by frame count, as frames may arrive rarely.
        if (pts - self._key_pts) * TIME_BASE >= KEY_FRAME_SECONDS:
            converted.pict_type, self._key_pts = PictureType.I, pts
        return converted
