"""Segments of the video stream: where they end, and how they are written."""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream

from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError
from pipeline.frames import Frame, SegmentBoundary
from pipeline.media.codecs import CODECS, encoder_options
from pipeline.media.packets import VideoPacket
from pipeline.media.pixels.alpha import has_alpha
from pipeline.resume.work_folder.durations import Durations
from pipeline.resume.work_folder.segment_record import Segment
from pipeline.system.files.atomic import remove, replace_atomically, reserve
from pipeline.system.files.reading import own_digest

# In mp4 the times of reordered frames stay exact; the other containers are used for codecs without reordering.
_FORMATS = {"prores": ("mov", ".mov"), "ffv1": ("matroska", ".mkv")}
ANIMATIONS = ("gif", "webp")
# A frame in mp4 lasts at most 2^31 ticks. If the time base is finer than this, segments use a coarser one, for at most
# six hours; the manifest has the exact times.
FINEST, COARSER = Fraction(1, 1_000_000), Fraction(1, 100_000)
# A frame that is shown longer is so in the manifest alone.
LONGEST_SECONDS = 1800


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
    """Return how segments are encoded: as the output, but losslessly and in the source's time base for animations."""
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
    """Writes one segment with its own encoder, so that it depends on nothing but its frames.

    Args:
        folder: where the segment appears when it is finished.
        index: number of its first frame, after which it is named.
        plan: made by `segment_plan`.

    Raises:
        av.FFmpegError, OSError: from every method: the encoder rejects a frame, or the disk is full.
    """

    def __init__(self, folder: str, index: int, plan: OutputPlan) -> None:
        container_name, suffix = _FORMATS.get(plan.encoder.codec, ("mp4", ".mp4"))
        if plan.encoder.codec == "vp9" and has_alpha(plan.pixel_format):
            container_name, suffix = "matroska", ".mkv"  # the only one that stores alpha as side data of a packet
        self._plan = plan
        self._path = os.path.join(folder, f"{index:08}{suffix}")
        self._temporary = f"{self._path}.part"
        self._pts: list[int] = []
        self._durations: list[int | None] = []
        self._packet_pts: list[int] = []
        reserve(self._temporary)
        try:
            self._container = av.open(f"file:{self._temporary}", "w", format=container_name)
        except BaseException:
            remove(self._temporary)
            raise
        try:
            self._stream = add_video_stream(self._container, plan)
            self._encoder = VideoEncoder(self._stream, plan)
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: Frame) -> None:
        """Encode ``frame``; timestamps in the file start at the segment's first frame."""
        self._pts.append(frame.pts)
        self._durations.append(frame.duration)
        longest = int(LONGEST_SECONDS / frame.time_base)
        duration = None if frame.duration is None else min(frame.duration, longest)
        self._mux(self._encoder.packets(replace(frame, pts=frame.pts - self._pts[0], duration=duration)))

    def finish(self, digest: str) -> Segment:
        """Flush the encoder, and rename the complete file into place.

        Args:
            digest: hash of the last frame as it was decoded.

        Raises:
            EncodeError: the encoder did not produce one packet per frame.
        """
        self._mux(self._encoder.flush())
        header = hashlib.sha256(self._stream.codec_context.extradata or b"").hexdigest()[:16]
        self._container.close()
        if len(self._packet_pts) != len(self._pts):
            made = f"{self._plan.encoder.name} made {len(self._packet_pts)} packets of {len(self._pts)} frames"
            raise EncodeError(self._plan.target, f"{made}; choose another --codec")
        replace_atomically(self._temporary, self._path)
        ranks = {pts: rank for rank, pts in enumerate(sorted(self._packet_pts))}
        folder, name = os.path.split(self._path)
        size, sha256 = own_digest(folder, name)
        return Segment(
            file=name,
            bytes=size,
            pts=array("q", self._pts),
            durations=Durations(self._durations),
            delay=max(place - ranks[pts] for place, pts in enumerate(self._packet_pts)),
            header=header,
            digest=digest,
            sha256=sha256,
        )

    def abandon(self) -> None:
        """Close and remove the unfinished file; never raises."""
        remove(self._temporary)
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _mux(self, packets: Iterator[VideoPacket]) -> None:
        for packet in packets:
            self._packet_pts.append(cast(int, packet.pts))
            self._container.mux_one(cast("Packet[Stream]", packet))
