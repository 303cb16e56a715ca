"""A video that has been opened, cut to the part that is wanted, and found to hold at least one frame.

Opening decodes up to the first wanted frame, so that whatever cannot work is known before a model is loaded, and
so that size, rotation and colour are those of real frames.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig
from pipeline.decode.container_check import what_is_missing
from pipeline.decode.demuxer import MediaReader, Reader
from pipeline.decode.side_packets import read_packets
from pipeline.decode.trim import Trim
from pipeline.decode.webp import WebpReader, is_webp
from pipeline.errors import InputError
from pipeline.frames import VideoInfo
from pipeline.media.alpha import is_transparent
from pipeline.media.bit_depth import bit_depth
from pipeline.media.colorspace import hdr_transfer, peak_nits, pipeline_color, source_color
from pipeline.media.damage import Damage
from pipeline.media.deinterlace import is_interlaced
from pipeline.media.orientation import is_flipped
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# How far before the wanted start a seek aims; where it lands too late all the same, the next is tried.
SEEK_MARGINS_SECONDS = (1, 5, 30)


class Source:
    """An open video; made by `open_source`, used as a context manager, read once by `pipeline.decode.decoder`.

    Attributes:
        info: the frames as `pipeline.decode.decoder` yields them: upright, and scaled where that was asked for.
        video: the stream whose frames these are, as PyAV knows it; None where PyAV does not read the file.
        other_streams: all other streams.
        is_cut: whether it begins later than the file.
        first_frame_seconds: time of the first frame, as `items` gives it.
        covers: the pictures that belong to the file, whole, by the index of their stream.
        chapters: of the wanted part, moved as its frames are.
        metadata: of the whole file.
    """

    def __init__(
        self,
        info: VideoInfo,
        reader: Reader,
        cut: Trim,
        first_frame_seconds: Fraction,
        covers: dict[int, bytes],
        items: Iterator[VideoFrame | StreamPacket],
    ) -> None:
        self.info = info
        self.video = reader.video
        self.other_streams = reader.other_streams
        self.first_frame_seconds = first_frame_seconds
        self.covers = covers
        self.is_cut = cut.begin_seconds is not None
        self._shift_seconds = cut.shift_seconds
        self.chapters = cut.chapters(reader.chapters)
        self.metadata = reader.metadata
        self._opened = reader
        self._reader = reader
        self._config = cut.config
        self._items = items

    def items(self) -> Iterator[VideoFrame | StreamPacket]:
        """Decoded frames in presentation order with their final pts, and packets between them; each is given once."""
        return self._items

    def packets(self, indexes: Collection[int]) -> Iterator[StreamPacket]:
        """Packets of the streams ``indexes``, from a second pass over the file: those that `items` gives, or would.

        Raises:
            InputError: the file cannot be read again.
        """
        return read_packets(self.info.path, self._config, indexes, self._reader.damage)

    @property
    def damage(self) -> list[Damage]:
        """The places where the file could not be read as it was written, so far."""
        return self._reader.damage.places

    def add_damage(self, place: Damage) -> None:
        """Note a place that is met with behind `items` or `packets`, whose times count from the wanted start.

        Raises:
            InputError: damage is an error.
        """
        seconds = None if place.seconds is None else place.seconds + self._shift_seconds
        self._reader.damage.add(replace(place, seconds=seconds))

    def restore_damage(self, damage: Iterable[Mapping[str, Any]]) -> None:
        """Take over the places that an earlier run noted in what is not decoded again; see `Damage.as_json`."""
        self._reader.damage.restore(damage)

    def restart(self, from_seconds: Fraction | None) -> None:
        """Let `items` give the same frames once more, in a new pass over a file, without packets between them.

        Args:
            from_seconds: time of a frame, as `items` gives it, from which on they are wanted; where the file cannot
                seek they begin with the first, and where its index is wrong earlier or later. None gives all.

        Raises:
            InputError: the file cannot be opened again.
        """
        self._read_anew()
        if from_seconds is not None:
            wanted = max(from_seconds + self._shift_seconds, self._reader.start_seconds or Fraction(0))
            try:
                self._reader.seek(wanted)
            except av.FFmpegError:  # which may leave it at the end
                self._read_anew()

    def _read_anew(self) -> None:
        reader = _open_reader(self.info.path, self._config, reads_along=False)
        if self._reader is not self._opened:  # the first one stays: its streams are what outputs are made after
            self._reader.close()
        self._reader = reader
        reader.damage = self._opened.damage
        self._items = _to_the_end(Trim(reader, self._config), reader)

    def stop(self) -> None:
        """Let whoever iterates `items` in another thread, and waits for a pipe, come to the end; never blocks."""
        self._reader.stop()

    def close(self) -> None:
        """Let go of the file; whoever iterates `items` must have ended."""
        if self._reader is not self._opened:
            self._reader.close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_source(
    path: str | Path,
    config: DecodeConfig | None = None,
    *,
    reads_along: bool = True,
    keep_alpha_and_depth: bool = False,
) -> Source:
    """Open the video at ``path``, or on standard input for ``-``, and decode its first wanted frame.

    Args:
        path: a file, or ``-``.
        config: which part is read, and how.
        reads_along: whether `Source.items` gives packets of the other streams too; without them they are left to
            `Source.packets`.
        keep_alpha_and_depth: whether frames keep their alpha, and 16 bits if the source has more than 8; otherwise
            frames have 8 bits and transparent pixels show a background.

    Raises:
        InputError: there is no such file, it holds no video, or none of its frames decodes or is wanted.
    """
    name = str(path)
    config = config or DecodeConfig()
    _check_file(name)
    margins = SEEK_MARGINS_SECONDS if config.start_seconds and os.path.isfile(name) else ()
    for margin in (*margins, None):
        reader = _open_reader(name, config, reads_along)
        try:
            source = _try_from(name, reader, config, margin, keep_alpha_and_depth)
        except BaseException:
            reader.close()
            raise
        if source is not None:
            return source
        reader.close()
    raise AssertionError("the last attempt gives a source or raises")


def _check_file(name: str) -> None:
    if name == "-":
        return
    if not os.path.exists(name):
        raise InputError(name, "there is no such file; check the path")
    if os.path.isdir(name):
        is_closed = not os.access(name, os.R_OK | os.X_OK)
        raise InputError(name, f"is a folder{' that cannot be read' if is_closed else '; give one video file'}")
    if os.path.isfile(name) and os.path.getsize(name) == 0:
        raise InputError(name, "is empty; check that it was copied or downloaded completely")


def _open_reader(name: str, config: DecodeConfig, reads_along: bool) -> Reader:
    return (
        WebpReader(name, strict=config.strict)
        if is_webp(name)
        else MediaReader(name, threads=config.threads, strict=config.strict, reads_along=reads_along)
    )


def _try_from(name: str, reader: Reader, config: DecodeConfig, margin: int | None, whole: bool) -> Source | None:
    """Read from ``margin`` seconds before the wanted start, or from the beginning for None.

    None where a seek failed, or landed behind the wanted start, so that frames would be missing.
    """
    cut = Trim(reader, config)
    reader.damage.limit(cut.begin_seconds, cut.end_seconds)
    if config.strict and config.duration_seconds is None:
        missing = what_is_missing(name, reader.container)
        if missing is not None:
            raise InputError(name, f"{missing}, or leave out --strict to paint it as far as it decodes")
    if margin is not None and cut.begin_seconds is not None:
        try:
            reader.seek(max(cut.begin_seconds - margin, reader.start_seconds or Fraction(0)))
        except av.FFmpegError:
            return None
    items = _to_the_end(cut, reader)
    head: list[VideoFrame | StreamPacket] = []
    covers: dict[int, bytes] = {}
    for item in items:
        if not isinstance(item, VideoFrame) and is_cover(item.stream):  # they come first of all
            covers[item.stream_index] = bytes(item)
            continue
        head.append(item)
        if isinstance(item, VideoFrame):
            if margin is not None and cut.landed_late:
                return None
            info = _describe(name, reader, config, item, whole)
            first_frame_seconds = (item.pts or 0) * reader.time_base
            return Source(info, reader, cut, first_frame_seconds, covers, chain(head, items))
    if margin is not None:
        return None
    raise InputError(name, _why_no_frame(reader, cut, config))


def _to_the_end(cut: Trim, reader: Reader) -> "Iterator[VideoFrame | StreamPacket]":
    """The items of ``cut``; the last frame is shown until the end that the file tells.

    An mp4 or mov says of each picture how long until the next is decoded, not how long it is shown.
    """
    video = reader.video
    is_told = reader.container.startswith("mov") and video is not None and video.duration and cut.end_seconds is None
    if not is_told or video is None or video.duration is None:
        yield from cut.items()
        return
    end = (video.start_time or 0) + video.duration - round(cut.shift_seconds / reader.time_base)
    held: VideoFrame | None = None
    for item in cut.items():
        if not isinstance(item, VideoFrame):
            yield item
            continue
        if held is not None:
            yield held
        held = item
    if held is not None:
        if not reader.damage.places:  # or the end is missing, and what was before it is no still
            held.duration = max(end - (held.pts or 0), held.duration or 0)
        yield held


def _why_no_frame(reader: Reader, cut: Trim, config: DecodeConfig) -> str:
    if cut.first_seconds is not None:
        start = float(config.start_seconds or 0)
        return f"has no frame from {start:g} s on in the part that is wanted; choose another start or duration"
    reason = f" ({reader.damage.places[0].reason})" if reader.damage.places else ""
    return f"none of its video frames can be decoded{reason}; the file is damaged"


def _describe(name: str, reader: Reader, config: DecodeConfig, first: VideoFrame, whole: bool) -> VideoInfo:
    rotation = round(first.rotation / 90) * 90 % 360
    aspect = reader.sample_aspect_ratio
    width, height = first.width, first.height
    if rotation in (90, 270):
        width, height, aspect = height, width, 1 / aspect
    if config.height is not None and config.height != height:
        width, height = max(round(width * config.height / height / 2) * 2, 2), config.height
    seconds, count = _wanted_length(reader, config)
    color = source_color(first)
    return VideoInfo(
        path=name,
        container=reader.container,
        codec=reader.codec,
        width=width,
        height=height,
        rotation=rotation,
        sample_aspect_ratio=aspect,
        time_base=reader.time_base,
        average_rate=reader.average_rate,
        frame_count=count,
        duration_seconds=seconds,
        color=pipeline_color(color),
        flipped=is_flipped(first),
        is_16_bit=whole and bit_depth(first.format.name) > 8,
        has_alpha=whole and is_transparent(first, reader.codec),
        interlaced=first.interlaced_frame or (reader.video is not None and is_interlaced(reader.video)),
        tone_mapped_from=hdr_transfer(color),
        peak_nits=peak_nits(first),
    )


def _wanted_length(reader: Reader, config: DecodeConfig) -> tuple[float | None, int | None]:
    """Seconds and frames of the wanted part, as far as the header tells."""
    whole, count = reader.duration_seconds, reader.frame_count
    if not whole:
        return None if config.duration_seconds is None else float(config.duration_seconds), count
    seconds = max(whole - float(config.start_seconds or 0), 0.0)
    if config.duration_seconds is not None:
        seconds = min(seconds, float(config.duration_seconds))
    if count is None and reader.average_rate is not None:
        count = round(whole * reader.average_rate)
    return seconds, None if count is None else max(round(count * seconds / whole), 1)
