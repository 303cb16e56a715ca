"""An output file in the making: the plan it follows, its streams, and the pixels on their way into the encoder."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, cast

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.animation import Palette
from pipeline.audio import AudioPlan, AudioTrack
from pipeline.codecs import Container, Encoder
from pipeline.color import EXACT, swscale_matrix
from pipeline.frames import Color, Frame
from pipeline.reader import AudioPacket, VideoPacket


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about the output but its pixels; made by `plan_output`.

    Attributes:
        target: the file as the user named it, or ``-``.
        container: its kind.
        encoder: of the picture.
        options: the encoder is opened with.
        threads: of the encoder; 0 lets it choose.
        width: of the frames that will come, in pixels.
        height: of the frames that will come, in pixels.
        pixel_format: FFmpeg's name of what the encoder is given.
        time_base: seconds per unit of pts of the video stream; the source's wherever the container can hold it.
        rate: frames per second on average; a hint to the encoder, never a clock.
        sample_aspect_ratio: width of a pixel over its height.
        color: how the samples are written, and tagged.
        audio: what becomes of the audio streams that are carried.
        metadata: of the whole file.
        notices: what the user should know, a line each.
    """

    target: str
    container: Container
    encoder: Encoder
    options: Mapping[str, str]
    threads: int
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction
    color: Color
    audio: tuple[AudioPlan, ...]
    metadata: Mapping[str, str]
    notices: tuple[str, ...]


def new_temporary(path: str) -> str:
    """Create an empty hidden file beside ``path``, with the permissions a new file gets, and return its name."""
    while True:
        name = os.path.join(os.path.dirname(path), f".flowbrush-{secrets.token_hex(6)}.part")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return name


class Muxer:
    """Writes frames and audio packets into ``file`` as ``plan`` says; its header is written at once.

    Args:
        plan: what to write.
        file: a path, or a file object opened for writing.
        tag: metadata in addition to the plan's, keys in lower case; added to what the plan says under the same key.
        is_trial: leaves out what costs time after the last frame.

    Raises:
        av.FFmpegError, OSError: from every method, where an encoder, the container or the disk refuses.
    """

    def __init__(
        self, plan: Plan, file: str | IO[bytes], *, tag: Mapping[str, str] | None = None, is_trial: bool = False
    ) -> None:
        self.video_packets = 0
        self.audio_packets = 0
        self._file: str | IO[bytes] = file
        self._container = av.open(
            file, "w", format=plan.container.name, container_options=_muxer_options(plan, is_trial)
        )
        try:
            self._video = VideoTrack(_add_video(self._container, plan), plan)
            self._audio = {audio.stream.index: AudioTrack(self._container, audio) for audio in plan.audio}
            self._container.metadata.update(_tagged(plan.metadata, tag or {}))
            self._container.start_encoding()
            left_over = self._container.streams.video[0].codec_context.options
            if left_over:
                raise ValueError(f"{plan.encoder.name} knows no {', '.join(left_over)}")
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, frame: Frame) -> None:
        """Encode ``frame``, and write what the encoder gives."""
        self._write_video(self._video.packets(frame))

    def write_packet(self, packet: AudioPacket) -> None:
        """Write or transcode ``packet``; one of a stream that is not carried is let go."""
        track = self._audio.get(packet.stream_index)
        if track is not None:
            self._write_audio(track.packets(packet))

    def finish(self) -> None:
        """Flush all encoders, write the index and close the file."""
        self._write_video(self._video.flush())
        for track in self._audio.values():
            self._write_audio(track.flush())
        self._container.close()

    def abandon(self) -> None:
        """Close a file that nobody will want; never raises. It is removed first, as its index need not be moved."""
        if isinstance(self._file, str):
            with suppress(OSError):
                os.unlink(self._file.removeprefix("file:"))
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write_video(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._container.mux_one(cast("Packet[Stream]", packet))
            self.video_packets += 1

    def _write_audio(self, packets: list[AudioPacket]) -> None:
        for packet in packets:
            self._container.mux_one(cast("Packet[Stream]", packet))
            self.audio_packets += 1


def _tagged(metadata: Mapping[str, str], tag: Mapping[str, str]) -> dict[str, str]:
    """Both; what the source says under a key of ``tag``, in any case, stays in front."""
    own = {key: text for key, text in metadata.items() if key.casefold() not in tag}
    said = {key.casefold(): text for key, text in metadata.items()}
    return own | {key: f"{said[key]}; {text}" if said.get(key) else text for key, text in tag.items()}


def _muxer_options(plan: Plan, is_trial: bool) -> dict[str, str]:
    if plan.container.name in ("gif", "webp"):
        return {"loop": "0"}
    if plan.container.name in ("mp4", "mov"):
        # The offset between sound and picture is stored on this clock; FFmpeg's default of 1000 moves them by 1 ms.
        clock = {"movie_timescale": "90000"}
        return clock if is_trial else clock | {"movflags": "+faststart"}
    return {}


def _add_video(container: av.container.OutputContainer, plan: Plan) -> VideoStream:
    # SVT-AV1 speaks to the terminal past FFmpeg's log; it reads this when it is first opened.
    os.environ.setdefault("SVT_LOG", "0")
    stream = cast(VideoStream, container.add_stream(plan.encoder.name, rate=plan.rate, options=dict(plan.options)))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pixel_format
    stream.time_base = context.time_base = plan.time_base
    context.sample_aspect_ratio = plan.sample_aspect_ratio
    context.thread_count = plan.threads
    context.thread_type = av.codec.context.ThreadType.AUTO  # slices alone, the default, cost x264 quality
    if plan.pixel_format != "pal8":
        context.colorspace, context.color_range = plan.color.matrix, 2 if plan.color.full_range else 1
        context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
    return stream


class VideoTrack:
    """The video stream of an output: RGB in, packets out with exact pts and duration; one instance a thread."""

    def __init__(self, stream: VideoStream, plan: Plan) -> None:
        self._stream = stream
        self._plan = plan
        self._reformatter = VideoReformatter()
        self._palette = Palette(plan.width, plan.height, plan.time_base) if plan.pixel_format == "pal8" else None
        self._durations: dict[int, int] = {}
        self._last_pts: int | None = None

    def packets(self, frame: Frame) -> Iterator[VideoPacket]:
        """What the encoder gives for ``frame``, if anything yet.

        Raises:
            ValueError: the frame has not the size that was planned.
        """
        height, width, _ = frame.pixels.shape
        if (width, height) != (self._plan.width, self._plan.height):
            raise ValueError(f"frame is {width}x{height}, planned were {self._plan.width}x{self._plan.height}")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24")
        picture.pts, picture.time_base = self._pts(frame), self._plan.time_base
        if frame.duration is not None:
            picture.duration = round(frame.duration * frame.time_base / self._plan.time_base)
            self._durations[picture.pts] = picture.duration
        pictures = self._palette(picture) if self._palette is not None else iter((self._converted(picture),))
        yield from self._encoded(pictures)

    def flush(self) -> Iterator[VideoPacket]:
        """What the encoder held back."""
        if self._palette is not None:
            yield from self._encoded(self._palette.flush())
        yield from self._encoded(iter((None,)))

    def _pts(self, frame: Frame) -> int:
        """The frame's own; on a container's coarser clock the nearest that is free."""
        pts = round(frame.pts * frame.time_base / self._plan.time_base)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        return pts

    def _converted(self, picture: VideoFrame) -> VideoFrame:
        color = self._plan.color
        converted = self._reformatter.reformat(
            picture,
            format=self._plan.pixel_format,
            src_color_range=2,
            dst_colorspace=swscale_matrix(color.matrix),
            dst_color_range=2 if color.full_range else 1,
            interpolation=EXACT,
            threads=1,
        )
        converted.duration = picture.duration
        converted.color_primaries, converted.color_trc = color.primaries, color.transfer
        return converted

    def _encoded(self, pictures: Iterator[VideoFrame | None]) -> Iterator[VideoPacket]:
        for picture in pictures:
            for packet in self._stream.encode(picture):
                if packet.pts in self._durations:
                    packet.duration = self._durations.pop(packet.pts)
                yield packet
