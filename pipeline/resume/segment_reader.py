"""Read the segments of a work folder as one video stream."""

import os
from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.encode.output_plan import OutputPlan
from pipeline.frames import Frame
from pipeline.media.packets import VideoPacket
from pipeline.resume.work_folder.manifest import Manifest, is_intact
from pipeline.resume.work_folder.segment_record import Segment

_DEMUXERS = {"mp4": "mov", "mov": "mov", "mkv": "matroska"}


class DamagedSegmentError(ValueError):
    """A segment is missing, or its content is not that with which it was finished; the next run finds it again."""


class SegmentReader:
    """The segments of a folder as one stream of packets with exact timestamps.

    A packet is identified by its rank in presentation order, which every encoder preserves. Decoding timestamps are
    computed for the whole stream, as those of a segment start before its first frame, within the segment before.

    Args:
        folder: the work folder.
        manifest: names at least one segment.
        plan: of the output.

    Raises:
        ValueError: a segment is damaged.
        av.FFmpegError, OSError: a segment cannot be read.

    Attributes:
        template: the video stream of the first segment.
        pts: presentation timestamps of all frames, in the plan's time base.
    """

    def __init__(self, folder: str, manifest: Manifest, plan: OutputPlan) -> None:
        self._folder = folder
        self._segments = manifest.segments
        self._time_base = manifest.time_base
        self._plan = plan
        self._first = _open(folder, self._segments[0])
        self.template: VideoStream = self._first.streams.video[0]
        all_pts = (pts for segment in self._segments for pts in segment.pts)
        self.pts = array("q", _increasing(map(self._in_plan, all_pts)))
        self._dts = decoding_times(self.pts, max(segment.delay for segment in self._segments))

    def packets(self) -> Iterator[VideoPacket]:
        """Yield all packets in decoding order, with pts, dts and duration in the plan's time base.

        Raises:
            ValueError: a segment does not contain what the manifest says.
            av.FFmpegError, OSError: a segment cannot be read.
        """
        first = 0
        for segment in self._segments:
            yield from self._packets_of(segment, first)
            first += len(segment.pts)

    def close(self) -> None:
        """Close the files."""
        self._first.close()

    def _packets_of(self, segment: Segment, first: int) -> Iterator[VideoPacket]:
        count = 0
        with _open(self._folder, segment) as container:
            stream = container.streams.video[0]
            ranks = self._ranks(segment, cast(Fraction, stream.time_base))
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                rank = ranks[cast(int, packet.pts)] if segment.delay else count
                duration = segment.durations[rank]
                packet.time_base = self._plan.time_base
                packet.pts, packet.dts = self.pts[first + rank], self._dts[first + count]
                packet.duration = 0 if duration is None else self._in_plan(duration)
                count += 1
                if first + count == len(self.pts) and self._plan.container.name in ("mp4", "mov"):
                    self._extend_to_end(packet)
                yield packet
        if count != len(segment.pts):
            raise ValueError(f"{segment.file} contains {count} packets instead of {len(segment.pts)}")

    def _extend_to_end(self, packet: VideoPacket) -> None:
        """Let the last packet in decoding order last until the end of the stream, as mp4 and mov count durations."""
        packet.dts = packet.pts
        packet.duration = self.pts[-1] + self._last_duration() - cast(int, packet.pts)

    def _last_duration(self) -> int:
        """Return the duration of the last frame in ticks of the plan; if unknown, that of the frame before."""
        duration = self._segments[-1].durations[-1]
        if duration is not None:
            return max(self._in_plan(duration), 1)
        if len(self.pts) > 1:
            return self.pts[-1] - self.pts[-2]
        return max(round(1 / (self._plan.rate * self._plan.time_base)), 1)

    def _in_plan(self, ticks: int) -> int:
        return round(ticks * self._time_base / self._plan.time_base)

    def _ranks(self, segment: Segment, file_time_base: Fraction) -> dict[int, int]:
        """Return the rank of each frame by its pts in the file, where `VideoEncoder` keeps them apart."""
        times = _increasing(round((pts - segment.pts[0]) * self._time_base / file_time_base) for pts in segment.pts)
        return {pts: rank for rank, pts in enumerate(times)}


def decode_segments(folder: str, manifest: Manifest, plan: OutputPlan) -> Iterator[Frame]:
    """Yield the frames of lossless segments, for animations, which are encoded in one piece.

    Raises:
        ValueError: a segment does not contain what the manifest says, or its frames are not those of ``plan``.
        av.FFmpegError, OSError: a segment cannot be read.
    """
    for segment in manifest.segments:
        with _open(folder, segment) as container:
            stream, size, count = container.streams.video[0], (plan.width, plan.height), 0
            if (stream.width, stream.height) != size:
                raise ValueError(f"{segment.file} contains other frames")
            # FFmpeg counts the width rounded up for its buffers.
            stream.codec_context.options = {"max_pixels": str((plan.width + 127) * plan.height)}
            for frame in container.decode(stream):
                if (frame.width, frame.height) != size or count == len(segment.pts):
                    raise ValueError(f"{segment.file} contains other frames")
                pixel_format = "rgba" if frame.format.name == "bgra" else "rgb24"
                pixels = np.asarray(frame.to_ndarray(format=pixel_format), np.uint8)
                alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
                pts, duration = segment.pts[count], segment.durations[count]
                count += 1
                yield Frame(pixels[..., :3], pts, manifest.time_base, duration, alpha)
            if count != len(segment.pts):
                raise ValueError(f"{segment.file} contains {count} frames instead of {len(segment.pts)}")


def decoding_times(pts: "array[int]", delay: int) -> "array[int]":
    """Return strictly increasing dts for frames with these ``pts``, none after the pts of its packet.

    They are the pts themselves, ``delay`` places later; before the first of these they are extrapolated.

    Args:
        pts: in presentation order, strictly increasing.
        delay: largest number of places by which a packet precedes its place in presentation order.
    """
    lead = pts[min(delay, len(pts) - 1)] - pts[0]
    return array("q", [each - lead for each in pts[:delay]]) + pts[: max(len(pts) - delay, 0)]


def _increasing(times: Iterable[int]) -> Iterator[int]:
    """Yield ``times``, moved to one tick after the one before where they would not increase."""
    last: int | None = None
    for time in times:
        last = time if last is None else max(time, last + 1)
        yield last


def _open(folder: str, segment: Segment) -> InputContainer:
    """Open a segment, if it is intact, with the demuxer of its kind; it leads to no other file."""
    if not is_intact(folder, segment):
        raise DamagedSegmentError(f"{segment.file} is missing or damaged")
    path, form = os.path.join(folder, segment.file), _DEMUXERS[segment.file.rpartition(".")[2]]
    return av.open(f"file:{path}", format=form, options={"protocol_whitelist": "file"})
