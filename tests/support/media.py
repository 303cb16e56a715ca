"""Make clips and read them back with PyAV and numpy only, without the code under test."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.system.priority import unchanged_priority

Pixels = NDArray[np.uint8]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "videos"

# File names that look like protocols, options or patterns, or are not text.
AWKWARD_NAMES = [
    "a:b.mp4",
    "concat:x.mp4",
    "it's a clip.mp4",
    "line\nbreak.mp4",
    "-dash.mp4",
    "☃ 🎬.mp4",
    "%03d.mp4",
    b"\xff\xfe.mp4",
]

# Luma weights of red and blue, by H.273 matrix number.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}

BARS = ((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0))
BARS += ((128, 128, 128), (200, 50, 120), (30, 180, 90), (12, 34, 56))


def moving_square(index: int, *, width: int = 64, height: int = 48, step: int = 3) -> Pixels:
    """Return an orange square, ``index * step`` pixels to the right, on a blue ramp; ``(height, width, 3)``.

    No two channels, axes or frames are alike, so a swap of any of them shows.
    """
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = np.linspace(60, 220, width, dtype=np.uint8)
    picture[..., 1] = np.linspace(20, 100, height, dtype=np.uint8)[:, None]
    side = max(min(width, height) // 3, 4)
    left = (index * step) % max(width - side, 1)
    picture[height // 6 : height // 6 + side, left : left + side] = (250, 140, 20)
    return picture


def color_bars(width: int = 288, height: int = 48) -> Pixels:
    """Return twelve vertical bars, ``(height, width, 3)``."""
    picture = np.zeros((height, width, 3), np.uint8)
    for number, color in enumerate(BARS):
        picture[:, number * width // len(BARS) : (number + 1) * width // len(BARS)] = color
    return picture


def bar_colors(picture: Pixels) -> NDArray[np.int64]:
    """Return the color in the middle of each bar, ``(12, 3)``."""
    height, width, _ = picture.shape
    columns = [(2 * number + 1) * width // (2 * len(BARS)) for number in range(len(BARS))]
    return picture[height // 2, columns].astype(np.int64)


def to_yuv(picture: Pixels, matrix: int, *, full_range: bool, bits: int = 8) -> NDArray[np.uint16]:
    """Convert RGB to ``(3, height, width)`` Y, Cb, Cr by the definition of the matrix, rounded."""
    red, green, blue = np.moveaxis(picture.astype(np.float64) / 255, -1, 0)
    of_red, of_blue = WEIGHTS[matrix]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    cb, cr = (blue - luma) / (2 * (1 - of_blue)), (red - luma) / (2 * (1 - of_red))
    scale, most = 2 ** (bits - 8), 2**bits - 1
    if full_range:
        planes = (luma * most, cb * most + 2 ** (bits - 1), cr * most + 2 ** (bits - 1))
    else:
        planes = ((16 + 219 * luma) * scale, (128 + 224 * cb) * scale, (128 + 224 * cr) * scale)
    return np.clip(np.round(np.stack(planes)), 0, most).astype(np.uint16)


def to_rgb(planes: NDArray[np.uint8], matrix: int, *, full_range: bool) -> Pixels:
    """Convert ``(3, height, width)`` Y, Cb, Cr of 8 bits to ``(height, width, 3)`` RGB, as the inverse of `to_yuv`."""
    y, cb, cr = planes.astype(np.float64)
    if full_range:
        luma, cb, cr = y / 255, (cb - 128) / 255, (cr - 128) / 255
    else:
        luma, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    of_red, of_blue = WEIGHTS[matrix]
    red, blue = luma + 2 * (1 - of_red) * cr, luma + 2 * (1 - of_blue) * cb
    green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return np.clip(np.round(np.stack((red, green, blue), -1) * 255), 0, 255).astype(np.uint8)


@dataclass
class Audio:
    """An audio track of a clip: a tone with a click.

    Attributes:
        codec: FFmpeg's name of the encoder.
        rate: samples per second.
        start_seconds: time of the first sample.
        seconds: duration.
        click_seconds: time of the click in the clip; None for no click.
        metadata: of the stream.
        layout: channel layout.
        hertz: frequency of the tone.
    """

    codec: str = "aac"
    rate: int = 48000
    start_seconds: Fraction = Fraction(0)
    seconds: Fraction = Fraction(1)
    click_seconds: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    layout: str = "stereo"
    hertz: int = 440

    def samples(self) -> NDArray[np.float32]:
        """Return ``(channels, samples)`` float32; the channels differ."""
        time = np.arange(int(self.seconds * self.rate)) / self.rate
        tone = 0.1 * np.sin(2 * np.pi * self.hertz * time)
        if self.click_seconds is not None:
            first = int((Fraction(self.click_seconds) - self.start_seconds) * self.rate)
            tone = tone * 0.01
            tone[first : first + self.rate // 100] = 0.8
        channels = av.AudioLayout(self.layout).nb_channels
        return np.stack([tone / (number + 1) for number in range(channels)]).astype(np.float32)


@dataclass
class Clip:
    """What `make_clip` writes; times are in ticks of ``time_base``."""

    pts: Sequence[int] = tuple(range(0, 512 * 30, 512))
    time_base: Fraction = Fraction(1, 15360)
    width: int = 64
    height: int = 48
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "12", "preset": "ultrafast", "bf": "3"})
    pixel_format: str = "yuv420p"
    rotation: int = 0
    sample_aspect_ratio: Fraction | None = None
    tags: tuple[int, int, int, int] | None = None  # matrix, range, primaries, transfer
    last_duration: int | None = None
    audio: Sequence[Audio] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    has_cover: bool = False
    has_audio_first: bool = False
    planes: NDArray[np.uint16] | None = None  # YUV 4:4:4 samples of every frame, instead of the square

    def frame(self, number: int) -> av.VideoFrame:
        """Return the frame with this number, in the clip's pixel format."""
        if self.planes is not None:
            return _raw_frame(self.planes, self.pixel_format)
        picture = moving_square(number, width=self.width, height=self.height)
        return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=self.pixel_format)


def _raw_frame(planes: NDArray[np.uint16], pixel_format: str) -> av.VideoFrame:
    """Return a 4:2:0 or 4:4:4 frame of the planes; 4:2:0 takes every other chroma sample, which suits wide bars."""
    kind = np.uint16 if "10" in pixel_format else np.uint8
    luma, cb, cr = planes.astype(kind)
    if "444" in pixel_format:
        return av.VideoFrame.from_ndarray(np.stack((luma, cb, cr)), pixel_format)
    width = luma.shape[1]
    chroma = [plane[::2, ::2].reshape(-1, width) for plane in (cb, cr)]
    return av.VideoFrame.from_ndarray(np.concatenate((luma, *chroma)), pixel_format)


def make_clip(path: Path, clip: Clip | None = None, *, form: str | None = None) -> Path:
    """Write ``clip`` to ``path``; the container follows the suffix, or ``form``."""
    clip = clip or Clip()
    with av.open(f"file:{path}", "w", format=form or _format_of(path)) as container:
        container.metadata.update(clip.metadata)
        tracks = [_add_audio(container, audio) for audio in clip.audio] if clip.has_audio_first else []
        video = container.add_stream(clip.codec, rate=30, options=clip.options)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pixel_format
        video.time_base = video.codec_context.time_base = clip.time_base
        if clip.sample_aspect_ratio:
            video.codec_context.sample_aspect_ratio = clip.sample_aspect_ratio
        if clip.rotation:
            video.set_display_rotation(clip.rotation)
        if clip.tags:
            context = video.codec_context
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = clip.tags
        cover = _add_cover(container) if clip.has_cover else None
        tracks = tracks or [_add_audio(container, audio) for audio in clip.audio]
        with unchanged_priority():
            container.start_encoding()
        if cover is not None:
            _write_cover(container, cover)
        for audio, track in zip(clip.audio, tracks, strict=True):
            _write_audio(container, audio, track)
        durations = dict(zip(clip.pts, np.diff(clip.pts, append=clip.pts[-1] + (clip.last_duration or 1)), strict=True))
        _write_video(container, video, clip, durations)
    return path


def _write_video(container, video, clip: Clip, durations: dict[int, int]) -> None:
    for number, pts in enumerate(clip.pts):
        frame = clip.frame(number)
        frame.pts, frame.time_base, frame.pict_type = pts, clip.time_base, 0
        _mux(container, video.encode(frame), durations)
    _mux(container, video.encode(None), durations)


def _mux(container, packets, durations: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = int(durations.get(packet.pts, 0))
        container.mux(packet)


def _format_of(path: Path) -> str:
    return {".mkv": "matroska", ".ts": "mpegts", ".m4v": "mp4"}.get(path.suffix, path.suffix[1:])


def _add_cover(container):
    cover = container.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
    cover.disposition = av.stream.Disposition.attached_pic
    return cover


def _write_cover(container, cover) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 77, np.uint8), "rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    container.mux(cover.encode(frame))
    container.mux(cover.encode(None))


def _add_audio(container, audio: Audio):
    track = container.add_stream(audio.codec, rate=audio.rate)
    track.layout = audio.layout
    track.metadata.update(audio.metadata)
    return track


def _write_audio(container, audio: Audio, track) -> None:
    samples = audio.samples()
    for first in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[:, first : first + 1024]), format="fltp", layout=audio.layout
        )
        frame.sample_rate, frame.time_base = audio.rate, Fraction(1, audio.rate)
        frame.pts = int(audio.start_seconds * audio.rate) + first
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


@dataclass
class Contents:
    """The content of a file, as PyAV reads it.

    Attributes:
        frames: RGB frames; empty if not requested.
        times: of the frames in seconds, exact.
        durations: of the frames in seconds.
        time_base: of the video.
        audio: bytes of the packets of each audio track.
        audio_times: seconds of the packets of each track.
    """

    width: int = 0
    height: int = 0
    rotation: int = 0
    pixel_format: str = ""
    tags: tuple[int, int, int, int] = (2, 0, 2, 2)
    sample_aspect_ratio: Fraction = Fraction(1)
    time_base: Fraction = Fraction(1)
    codec: str = ""
    frames: list[Pixels] = field(default_factory=list)
    planes: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[Fraction] = field(default_factory=list)
    durations: list[Fraction] = field(default_factory=list)
    audio: list[list[bytes]] = field(default_factory=list)
    audio_times: list[list[Fraction]] = field(default_factory=list)
    audio_codecs: list[str] = field(default_factory=list)
    audio_metadata: list[dict[str, str]] = field(default_factory=list)
    audio_dispositions: list[int] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def offset(self) -> Fraction:
        """Seconds from the first frame to the first audio packet."""
        return self.audio_times[0][0] - self.times[0]

    @property
    def relative_times(self) -> list[Fraction]:
        """Times of the frames, counted from the first."""
        return [time - self.times[0] for time in self.times]


def contents(path: Path) -> Contents:
    """Read ``path``, one frame after another, without threads."""
    with av.open(f"file:{path}") as container:
        covers = av.stream.Disposition.attached_pic
        video = next(stream for stream in container.streams.video if not stream.disposition & covers)
        tracks = list(container.streams.audio)
        found = Contents(
            time_base=video.time_base,
            codec=video.codec_context.name,
            sample_aspect_ratio=Fraction(video.sample_aspect_ratio or 1),
            audio=[[] for _ in tracks],
            audio_times=[[] for _ in tracks],
            audio_codecs=[track.codec_context.name for track in tracks],
            audio_metadata=[dict(track.metadata) for track in tracks],
            audio_dispositions=[int(track.disposition) for track in tracks],
            metadata=dict(container.metadata),
        )
        for packet in container.demux((video, *tracks)):
            if packet.stream.index != video.index:
                if packet.size:
                    number = [track.index for track in tracks].index(packet.stream_index)
                    found.audio[number].append(bytes(packet))
                    found.audio_times[number].append(packet.pts * packet.time_base)
                continue
            for frame in packet.decode():
                _note(found, frame, video.time_base)
    return found


def _note(found: Contents, frame: av.VideoFrame, time_base: Fraction) -> None:
    found.width, found.height, found.rotation = frame.width, frame.height, round(frame.rotation)
    found.pixel_format = frame.format.name
    found.tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    found.times.append(frame.pts * time_base)
    found.durations.append(frame.duration * time_base)
    if frame.format.name in ("yuv420p", "yuvj420p"):
        found.planes.append(_planes(frame))


def _planes(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return ``(3, height, width)`` with chroma repeated; for even sizes only."""
    y, cb, cr = (
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    wide = [chroma.repeat(2, 0).repeat(2, 1)[: frame.height, : frame.width] for chroma in (cb, cr)]
    return np.stack((y, *wide))


def click_seconds(path: Path) -> float:
    """Return the time of the click in the first audio track, counted from the first frame."""
    first = contents(path).times[0]
    with av.open(f"file:{path}") as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64))
            samples = samples / (32768 if "16" in frame.format.name else 1)
            samples = samples[0] if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)[:, 0]
            loud = np.flatnonzero(samples > 0.4)
            if loud.size:
                return float(frame.pts * frame.time_base + Fraction(int(loud[0]), frame.sample_rate) - first)
    raise AssertionError("no click is heard")
