"""Recordings whose every frame and audio packet can be found again in an output, whatever became of its clock.

A frame shows its number as eight vertical bars, black or white, which survive scaling and lossy codecs. Audio is noise,
so no two packets are alike.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet
from numpy.typing import NDArray

from tests.support.clips.extras import ASS_HEADER, MILLISECOND

NUMBER_BITS, CHECK_BITS = 6, 2
SMALLEST_WIDTH_PX = 16
_OPTIONS = {
    "libx264": {"preset": "ultrafast", "bf": "2", "g": "6", "crf": "18"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=6"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},  # its threads wait by spinning
    "mpeg2video": {"qmin": "2", "qmax": "4", "g": "6"},
    "mpeg4": {"qmin": "2", "qmax": "4", "g": "6"},
}
_SAMPLES = 1152
# Before a change of the codec: the last B-frames, up to 3 of x265, and the P-frame that they refer to.
TORN_FRAMES = 4
# A clock on which frames of all rates, and samples, are whole numbers.
_CLOCK = Fraction(1, 705_600_000)


@dataclass(frozen=True)
class Sound:
    """An audio track of a recording.

    Attributes:
        codec: FFmpeg's name of the encoder.
        rate: samples per second.
        layout: channel layout.
        delay: seconds from the first frame to the first sample.
    """

    codec: str = "aac"
    rate: int = 48000
    layout: str = "stereo"
    delay: Fraction = Fraction(0)


@dataclass(frozen=True)
class Recording:
    """What a camera wrote between two presses of its button.

    Attributes:
        first: number of its first frame; those of a clip number all frames from 0.
        frames: number of frames.
        step: duration of a frame in seconds.
        start: time on its clock of the first frame, in seconds.
        codec: FFmpeg's name of the video encoder.
        width: of the frames in pixels.
        height: of the frames in pixels.
        sounds: its audio tracks.
        seed: of the noise.
        aspect: of a pixel.
        pixel_format: of the encoder; None for the usual one of the size.
    """

    first: int = 0
    frames: int = 12
    step: Fraction = Fraction(1, 25)
    start: Fraction = Fraction(0)
    codec: str = "libx264"
    width: int = 64
    height: int = 48
    sounds: tuple[Sound, ...] = (Sound(),)
    seed: int = 0
    aspect: Fraction | None = None
    pixel_format: str | None = None

    @property
    def seconds(self) -> Fraction:
        """Duration of the frames."""
        return self.frames * self.step


@dataclass
class Truth:
    """What a clip shows and when, apart from what its clock says.

    Attributes:
        frames: the time of each frame, by its number: of its recording, and seconds from the recording's first frame.
        packets: the same of each audio packet by its bytes, of each track; None if several are alike.
        lengths: duration of the audio of each track, in seconds.
        loose: numbers of frames whose time even the input does not tell.
        cues: start and end of each subtitle by its text, in seconds from the first frame.
    """

    frames: dict[int, tuple[int, Fraction]] = field(default_factory=dict)
    packets: list[dict[bytes, tuple[int, Fraction] | None]] = field(default_factory=list)
    lengths: list[Fraction] = field(default_factory=list)
    cues: dict[str, tuple[Fraction, Fraction]] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    loose: set[int] = field(default_factory=set)

    def add(self, recording: "Recording") -> int:
        """Add the frames of a recording; return its number."""
        for number in range(recording.frames):
            self.frames[recording.first + number] = len(self.recordings), number * recording.step
        self.recordings.append(recording)
        while len(self.packets) < len(recording.sounds):
            self.packets.append({})
            self.lengths.append(Fraction(0))
        return len(self.recordings) - 1

    def note(self, recording: int, element: "_Element") -> None:
        """Add an audio packet."""
        if element.stream:
            packets = self.packets[element.stream - 1]
            self.lengths[element.stream - 1] += element.duration
            # Silence at the start of a recording is alike in all.
            packets[element.data] = None if element.data in packets else (recording, element.pts)

    @property
    def torn(self) -> set[int]:
        """Numbers of the frames that FFmpeg may lose or spoil where the codec changes.

        There it closes the parser with the packet that this one still holds, and cuts the next packet with the parser
        of the other codec. One frame is lost, and those that refer to it are wrong: no reader of its packets can know
        them.
        """
        return {
            before.first + before.frames - back
            for before, after in pairwise(self.recordings)
            if before.codec != after.codec
            for back in range(1, TORN_FRAMES + 1)
        }

    def longest_break(self, one: int, other: int) -> Fraction:
        """Return the time on the clock between two recordings; 0 if it is set back."""
        before, after = self.recordings[one], self.recordings[other]
        return max(after.start - before.start - before.seconds, Fraction(0))


def numbered_frame(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture ``(height, width, 3)`` that shows ``number``, below 64."""
    code = number | ((number % 4) ^ (number // 16)) << NUMBER_BITS
    bars = [235 if code >> bit & 1 else 20 for bit in range(NUMBER_BITS + CHECK_BITS)]
    columns = np.array(bars, np.uint8)[np.arange(width) * len(bars) // width]
    return np.ascontiguousarray(np.broadcast_to(columns[None, :, None], (height, width, 3)))


def shown_number(picture: NDArray[Any]) -> int | None:
    """Return the number that a grey picture ``(height, width)`` shows, None if it shows none or is too small."""
    if picture.shape[1] < SMALLEST_WIDTH_PX:
        return None
    bars = NUMBER_BITS + CHECK_BITS
    rows = picture[picture.shape[0] // 4 : max(picture.shape[0] * 3 // 4, picture.shape[0] // 4 + 1)].mean(0)
    levels = [rows[(2 * bar + 1) * len(rows) // (2 * bars)] for bar in range(bars)]
    code = sum(1 << bar for bar, level in enumerate(levels) if level > 128)
    number = code & (1 << NUMBER_BITS) - 1
    return number if code >> NUMBER_BITS == (number % 4) ^ (number // 16) else None


Cues = Sequence[tuple[str, Fraction, Fraction]]
"""Texts with start and end, in seconds from the first frame."""


@dataclass(frozen=True)
class _Element:
    """An encoded packet: of which stream, its bytes, and times in seconds from the first frame."""

    stream: int
    data: bytes
    pts: Fraction
    dts: Fraction
    duration: Fraction
    is_key: bool


def record(
    path: Path,
    recordings: Sequence[Recording],
    *,
    form: str,
    options: dict[str, str] | None = None,
    cues: Cues = (),
    truth: Truth | None = None,
) -> Truth:
    """Write ``recordings``, all of the same codecs, into one file, each at its place on the clock; return the truth.

    Args:
        path: of the file.
        recordings: in their order.
        form: FFmpeg's name of the container.
        options: of the muxer.
        cues: subtitles; times from the first frame of the first recording.
        truth: of recordings before these, in the same clip; it is added to.
    """
    truth = truth or Truth()
    first = recordings[0]
    memory = io.BytesIO(_encoded(first)[0])
    with (
        av.open(memory) as template,
        av.open(f"file:{path}", "w", format=form, options=options or {}, container_options=options or {}) as container,
    ):
        streams = [container.add_stream_from_template(stream, opaque=True) for stream in template.streams]
        if first.aspect:
            streams[0].codec_context.sample_aspect_ratio = first.aspect
        texts = _add_subtitles(container, form) if cues else None
        container.start_encoding()
        items: list[tuple[Fraction, Any]] = []
        for recording in recordings:
            number = truth.add(recording)
            for element in _encoded(recording)[1]:
                truth.note(number, element)
                items.append(
                    (element.dts + recording.start, _packet(element, recording.start, streams[element.stream]))
                )
        for cue in cues:
            truth.cues[cue[0]] = cue[1:]
            items.append((cue[1] + first.start, _cue(texts, len(items), cue, first.start)))
        for _, packet in sorted(items, key=lambda item: item[0]):
            container.mux(packet)
    return truth


def _packet(element: _Element, start: Fraction, stream: Any) -> Any:
    packet = av.Packet(element.data)
    packet.time_base, packet.is_keyframe, packet.stream = _CLOCK, element.is_key, stream
    packet.pts, packet.dts = round((element.pts + start) / _CLOCK), round((element.dts + start) / _CLOCK)
    packet.duration = round(element.duration / _CLOCK)
    return packet


def _add_subtitles(container: Any, form: str) -> Any:
    track = container.add_stream("mov_text" if form in ("mp4", "mov") else "subrip")
    track.codec_context.subtitle_header = ASS_HEADER
    track.time_base = track.codec_context.time_base = MILLISECOND
    return track


def _cue(track: Any, number: int, cue: tuple[str, Fraction, Fraction], start: Fraction) -> Any:
    text, begin, end = cue
    packet = track.codec_context.encode_subtitle(
        SubtitleSet.create(b"%d,0,Default,,0,0,0,," % number + text.encode(), 0, 0)
    )
    packet.pts = packet.dts = round((begin + start) / MILLISECOND)
    packet.duration = round((end - begin) / MILLISECOND)
    packet.time_base, packet.stream = MILLISECOND, track
    return packet


@lru_cache(maxsize=64)
def _encoded(recording: Recording) -> tuple[bytes, tuple[_Element, ...]]:
    """Return the packets of a recording, and a NUT file from which streams for them can be made."""
    file = io.BytesIO()
    elements: list[_Element] = []
    with av.open(file, "w", format="nut") as container:
        video = _add_video(container, recording)
        tracks = [_add_sound(container, sound) for sound in recording.sounds]
        container.start_encoding()
        frames = (_picture(recording, number) for number in range(recording.frames))
        noises = (_noise(recording, sound) for sound in recording.sounds)
        for stream, each in zip((video, *tracks), (frames, *noises), strict=True):
            for packet in (packet for frame in (*each, None) for packet in stream.encode(frame)):
                length = recording.step if stream is video else packet.duration * packet.time_base
                times = packet.pts * packet.time_base, packet.dts * packet.time_base, length
                elements.append(_Element(stream.index, bytes(packet), *times, packet.is_keyframe))
                container.mux(packet)
    return file.getvalue(), tuple(elements)


def _picture(recording: Recording, number: int) -> Any:
    pixels = numbered_frame(recording.first + number, recording.width, recording.height)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=_pixel_format(recording))
    frame.pts, frame.time_base, frame.pict_type = number, recording.step, 0
    return frame


def _add_video(container: Any, recording: Recording) -> Any:
    video = container.add_stream(recording.codec, rate=1 / recording.step, options=_OPTIONS.get(recording.codec, {}))
    video.width, video.height, video.pix_fmt = recording.width, recording.height, _pixel_format(recording)
    video.time_base = video.codec_context.time_base = recording.step
    if recording.aspect:
        video.codec_context.sample_aspect_ratio = recording.aspect
    return video


def _pixel_format(recording: Recording) -> str:
    is_odd = recording.width % 2 or recording.height % 2
    return recording.pixel_format or ("yuv444p" if is_odd else "yuv420p")


def _add_sound(container: Any, sound: Sound) -> Any:
    track = container.add_stream(sound.codec, rate=sound.rate)
    track.layout = sound.layout
    return track


def _noise(recording: Recording, sound: Sound) -> Iterator[Any]:
    chance = np.random.default_rng((recording.seed, recording.first, sound.rate))
    channels = av.AudioLayout(sound.layout).nb_channels
    count = int(recording.seconds * sound.rate)
    for first in range(0, count, _SAMPLES):
        samples = chance.uniform(-0.3, 0.3, (channels, min(_SAMPLES, count - first))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=sound.layout)
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = int(sound.delay * sound.rate) + first
        yield frame
