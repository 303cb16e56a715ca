"""The picture in pieces: where a segment ends, how it is written, and how its packets get their exact times back."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.atomic import put_in_place
from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError
from pipeline.frames import Frame, SegmentBoundary
from pipeline.media.alpha import has_alpha
from pipeline.media.codecs import CODECS, encoder_options
from pipeline.media.packets import VideoPacket
from pipeline.resume.manifest import Segment

# In mp4 the times of reordered frames stay exact; the others keep their frames in order.
_FORMATS = {"prores": ("mov", ".mov"), "ffv1": ("matroska", ".mkv")}
ANIMATIONS = ("gif", "webp")
# In mp4 a frame lasts 2^31 ticks at most. Of a clock finer than this, segments count on a coarser one, with six hours
# in so many; the exact times stand in the manifest.
FINEST, COARSER = Fraction(1, 1_000_000), Fraction(1, 100_000)


def mark_segments(frames: Iterable[Frame], index: int, *, seconds: Fraction, length: int) -> Iterator[Frame]:
    """Yield ``frames``, one frame late, with a `SegmentBoundary` on the last frame of each segment and of the clip.

    A segment ends before a frame that is ``seconds`` or more after the segment's first, or that would be one more than
    ``length``. That depends on the clip alone, so that a resumed render has the same segments as an uninterrupted one.

    Args:
        frames: decoded frames; the first starts a segment.
        index: number of the first frame, counted from 0 at the first frame of the clip.
        seconds: longest duration of a segment.
        length: largest number of frames in a segment.
    """
    held: Frame | None = None
    start, count = Fraction(0), 0
    for frame in frames:
        if held is not None and (count >= length or frame.seconds - start >= seconds):
            held, count = _as_last(held, index), 0
        if held is not None:
            yield held
        if not count:
            start = frame.seconds
        index, count, held = index + 1, count + 1, frame
    if held is not None:
        yield _as_last(held, index)


def _as_last(frame: Frame, next_index: int) -> Frame:
    return replace(frame, digest=frame_digest(frame), boundary=SegmentBoundary(next_index))


def frame_digest(frame: Frame) -> str:
    """Return a hash of the pixels and the alpha of a decoded frame."""
    digest = hashlib.blake2b(np.ascontiguousarray(frame.pixels).data, digest_size=16)
    if frame.alpha is not None:
        digest.update(np.ascontiguousarray(frame.alpha).data)
    return digest.hexdigest()


def segment_plan(plan: OutputPlan, time_base: Fraction) -> OutputPlan:
    """How segments of the output are encoded: as the output, but animations without loss, on the source's clock.

    Very fine clocks become coarser.
    """
    if plan.container.name not in ANIMATIONS:
        return replace(plan, time_base=COARSER) if plan.time_base < FINEST else plan
    encoder = CODECS["ffv1"]
    return replace(
        plan,
        encoder=encoder,
        options=encoder_options(encoder, None, None),
        pixel_format="bgra" if plan.pixel_format == "bgra" else "bgr0",
        time_base=time_base,
    )


class SegmentWriter:
    """Writes one segment with an encoder of its own, so that it depends on nothing but its frames.

    Args:
        folder: in which it appears when it is finished.
        index: of its first frame in the clip, after which it is named.
        plan: of `segment_plan`.

    Raises:
        av.FFmpegError, OSError: from every method, where the encoder or the disk refuses.
    """

    def __init__(self, folder: str, index: int, plan: OutputPlan) -> None:
        form, suffix = _FORMATS.get(plan.encoder.codec, ("mp4", ".mp4"))
        if plan.encoder.codec == "vp9" and has_alpha(plan.pixel_format):
            form, suffix = "matroska", ".mkv"  # which alone keeps the alpha that comes beside a packet
        self._plan = plan
        self._path = os.path.join(folder, f"{index:08}{suffix}")
        self._part = f"{self._path}.part"
        self._pts: list[int] = []
        self._durations: list[int | None] = []
        self._order: list[int] = []
        self._container = av.open(f"file:{self._part}", "w", format=form)
        try:
            self._stream = add_video_stream(self._container, plan)
            self._track = VideoEncoder(self._stream, plan)
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: Frame) -> None:
        """Encode ``frame``; its time in the file counts from the segment's first."""
        self._pts.append(frame.pts)
        self._durations.append(frame.duration)
        self._write(self._track.packets(replace(frame, pts=frame.pts - self._pts[0])))

    def finish(self, digest: str) -> Segment:
        """Flush the encoder and rename the whole file into place.

        Args:
            digest: of the last frame as it was decoded.

        Raises:
            EncodeError: the encoder did not make one picture of each frame.
        """
        self._write(self._track.flush())
        header = hashlib.sha256(self._stream.codec_context.extradata or b"").hexdigest()[:16]
        self._container.close()
        if len(self._order) != len(self._pts):
            made = f"{self._plan.encoder.name} made {len(self._order)} pictures of {len(self._pts)} frames"
            raise EncodeError(self._plan.target, f"{made}; choose another --codec")
        put_in_place(self._part, self._path)
        ranks = {pts: rank for rank, pts in enumerate(sorted(self._order))}
        return Segment(
            file=os.path.basename(self._path),
            bytes=os.path.getsize(self._path),
            pts=tuple(self._pts),
            durations=tuple(self._durations),
            delay=max(place - ranks[pts] for place, pts in enumerate(self._order)),
            header=header,
            digest=digest,
        )

    def abandon(self) -> None:
        """Close and remove what nobody will want; never raises."""
        with suppress(OSError):
            os.unlink(self._part)
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._order.append(cast(int, packet.pts))
            self._container.mux_one(cast("Packet[Stream]", packet))


class SegmentConcat:
    """The segments of a folder as one stream of packets with exact times.

    Every encoder keeps the order of presentation, so that a packet is known by its place in it. Decoding times are made
    anew for the whole: those of a segment begin before its first frame, within the segment before.

    Args:
        folder: that holds the segments.
        segments: in their order, at least one.
        time_base: of the source, in which the segments count.
        plan: of the output.
    """

    def __init__(self, folder: str, segments: list[Segment], time_base: Fraction, plan: OutputPlan) -> None:
        self._folder = folder
        self._segments = segments
        self._time_base = time_base
        self._plan = plan
        self._first = av.open(self._path(segments[0]))
        self.template: VideoStream = self._first.streams.video[0]
        shown = [pts for segment in segments for pts in segment.pts]
        self.pts = list(_increasing(round(pts * time_base / plan.time_base) for pts in shown))
        self._last_duration = self._shown_last(segments[-1].durations[-1])
        self._dts = _decoding_times(self.pts, max(segment.delay for segment in segments))

    def packets(self) -> Iterator[VideoPacket]:
        """All packets in the order of decoding, with pts, dts and duration in the plan's time base.

        Raises:
            ValueError: a segment does not hold what the manifest says.
            av.FFmpegError, OSError: it cannot be read.
        """
        place = 0
        for segment in self._segments:
            yield from self._of(segment, place)
            place += len(segment.pts)

    def close(self) -> None:
        """Let go of the files."""
        self._first.close()

    def _shown_last(self, duration: int | None) -> int:
        """In ticks of the output; where that is not known, as long as the frame before."""
        if duration is not None:
            return max(round(duration * self._time_base / self._plan.time_base), 1)
        if len(self.pts) > 1:
            return self.pts[-1] - self.pts[-2]
        return max(round(1 / (self._plan.rate * self._plan.time_base)), 1)

    def _of(self, segment: Segment, place: int) -> Iterator[VideoPacket]:
        count = 0
        with av.open(self._path(segment)) as container:
            stream = container.streams.video[0]
            ranks = self._ranks(segment, cast(Fraction, stream.time_base))
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                rank = ranks[cast(int, packet.pts)] if segment.delay else count
                duration = segment.durations[rank]
                packet.time_base = self._plan.time_base
                packet.pts, packet.dts = self.pts[place + rank], self._dts[place + count]
                packet.duration = 0 if duration is None else round(duration * self._time_base / self._plan.time_base)
                count += 1
                if place + count == len(self.pts):
                    self._end_with(packet)
                yield packet
        if count != len(segment.pts):
            raise ValueError(f"{segment.file} holds {count} pictures instead of {len(segment.pts)}")

    def _end_with(self, packet: VideoPacket) -> None:
        """In mp4 and mov the last packet that is decoded lasts until the end, whenever it is shown: so they count."""
        if self._plan.container.name in ("mp4", "mov"):
            end = self.pts[-1] + self._last_duration
            packet.dts = packet.pts
            packet.duration = end - cast(int, packet.pts)

    def _ranks(self, segment: Segment, clock: Fraction) -> dict[int, int]:
        """The place of each frame by its time in the file, which `VideoEncoder` moved where another had it."""
        times = _increasing(round((pts - segment.pts[0]) * self._time_base / clock) for pts in segment.pts)
        return {pts: rank for rank, pts in enumerate(times)}

    def _path(self, segment: Segment) -> str:
        return f"file:{os.path.join(self._folder, segment.file)}"


def _increasing(times: Iterable[int]) -> Iterator[int]:
    """``times``, one tick behind the one before where they would not grow."""
    last: int | None = None
    for time in times:
        last = time if last is None else max(time, last + 1)
        yield last


def _decoding_times(pts: list[int], delay: int) -> list[int]:
    """Strictly increasing, and none behind the presentation of a packet that comes ``delay`` places too early at most.

    The times of presentation themselves, ``delay`` places later; before these begin, they are continued backwards.
    """
    lead = pts[min(delay, len(pts) - 1)] - pts[0]
    return [pts[place] - lead if place < delay else pts[place - delay] for place in range(len(pts))]
