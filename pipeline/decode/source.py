"""Open a video, trim it, and decode its first frame.

Opening decodes up to the first wanted frame. So unusable input fails before a model is loaded, and size, rotation and
color come from a decoded frame, not from the header.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self

import av
from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig
from pipeline.decode.container_check import find_truncation
from pipeline.decode.demuxer import MediaReader
from pipeline.decode.describe import describe_video
from pipeline.decode.reader import Reader
from pipeline.decode.sequence import SequenceReader
from pipeline.decode.side_packets import finds_all_audio, read_packets
from pipeline.decode.trim import Trim
from pipeline.decode.webp import WebpReader, is_webp
from pipeline.errors import InputError
from pipeline.frames import VideoInfo
from pipeline.media.damage import Damage, DamageLog
from pipeline.media.image_sequence import find_sequence, is_sequence
from pipeline.media.packets import SidePackets, StreamPacket
from pipeline.media.stream_kinds import is_cover

# A seek aims this far before the wanted start; if it still lands after the start, the next margin is tried.
SEEK_MARGINS_SECONDS = (1, 5, 30)
# Packets before the first wanted frame are kept until it is decoded: as many bytes as of frames that wait for a stage.
MAX_EARLY_BYTES = 256 * 2**20


class Source:
    """An open video, made by `open_source` and read once by `pipeline.decode.decoder.decode`; a context manager.

    Attributes:
        info: description of the frames that `pipeline.decode.decoder.decode` yields.
        video: the main video stream; None if PyAV does not read the file.
        other_streams: all other streams.
        is_start_trimmed: whether the clip starts after the start of the file.
        first_frame_seconds: time of the first frame that `items` yields.
        shift_seconds: time in the file at which the clip starts.
        covers: cover images as stored in the file, by stream index.
        chapters: chapters of the trimmed clip, with times from its start.
        metadata: of the file.
    """

    def __init__(
        self,
        info: VideoInfo,
        reader: Reader,
        trim: Trim,
        first_frame_seconds: Fraction,
        covers: dict[int, bytes],
        items: Iterator[VideoFrame | StreamPacket],
    ) -> None:
        self.info = info
        self.video = reader.header.video
        self.other_streams = reader.header.other_streams
        self.first_frame_seconds = first_frame_seconds
        self.covers = covers
        self.is_start_trimmed = trim.start_seconds is not None
        self.chapters = trim.chapters(reader.header.chapters)
        self.metadata = reader.header.metadata
        self.shift_seconds = trim.shift_seconds
        self._shift_ticks = trim.shift_ticks
        self._first_reader = reader
        self._reader = reader
        self._config = trim.config
        self._items = items

    def items(self) -> Iterator[VideoFrame | StreamPacket]:
        """Return the decoded frames in presentation order with their final pts, and packets between them, once."""
        return self._items

    def packets(self, indexes: Collection[int]) -> Iterator[StreamPacket]:
        """Yield the packets of the streams ``indexes``, as `items` would, in a second pass over the file.

        Raises:
            InputError: the file cannot be read again.
        """
        return read_packets(self.info.path, self._config, indexes, self._reader.damage, self._shift_ticks)

    @property
    def damage(self) -> list[Damage]:
        """The damaged places found so far."""
        return self._reader.damage.places

    def add_damage(self, place: Damage) -> None:
        """Add a damaged place whose time counts from the start of the trimmed clip.

        Raises:
            InputError: ``DecodeConfig.strict`` makes damage an error.
        """
        seconds = None if place.seconds is None else place.seconds + self.shift_seconds
        self._reader.damage.add(replace(place, seconds=seconds))

    def restore_damage(self, places: Iterable[Mapping[str, Any]]) -> None:
        """Add the damage that an earlier run found in frames that are not decoded again; see `Damage.as_json`."""
        self._reader.damage.restore(places)

    def restart(self, from_seconds: Fraction | None) -> None:
        """Let `items` yield the same frames again, from a new pass over the file, without packets between them.

        Args:
            from_seconds: time of the first frame wanted, as `items` yields it; frames start earlier if the container
                cannot seek, and earlier or later if its index is wrong. None restarts from the beginning.

        Raises:
            InputError: the file cannot be opened again.
        """
        self._reopen()
        if from_seconds is not None:
            target = max(from_seconds + self.shift_seconds, self._reader.header.start_seconds or Fraction(0))
            try:
                self._reader.seek(target)
            except av.FFmpegError:  # a failed seek may leave the file at its end
                self._reopen()

    def _reopen(self) -> None:
        damage = self._first_reader.damage
        reader = _open_reader(self.info.path, self._config, damage, with_side_packets=False)
        if self._reader is not self._first_reader:  # the first stays open: output streams are made from its streams
            self._reader.close()
        self._reader = reader
        trim = Trim(reader.header, self._config, reader.side_streams, shift_ticks=self._shift_ticks)
        self._items = _with_whole_last_frame(trim.items(reader.read()), trim, reader)

    def stop(self) -> None:
        """End `items` for a thread that iterates it, even if it waits for a pipe; never blocks."""
        self._reader.stop()

    def close(self) -> None:
        """Close the file; no thread may still iterate `items`."""
        if self._reader is not self._first_reader:
            self._reader.close()
        self._first_reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_source(
    path: str | Path,
    config: DecodeConfig | None = None,
    *,
    with_side_packets: bool = True,
    keep_alpha_and_depth: bool = False,
) -> Source:
    """Open the video at ``path``, or on standard input for ``-``, and decode its first wanted frame.

    Args:
        path: a file, or ``-``.
        config: which part is read, and how.
        with_side_packets: whether `Source.items` yields packets of the other streams; if not, `Source.packets` does.
        keep_alpha_and_depth: whether frames keep their alpha, and 16 bits if the source has more than 8; otherwise
            frames have 8 bits and transparent pixels show a background.

    Raises:
        InputError: there is no such file, it has no video, or none of its frames decodes or is wanted.
    """
    name = str(path)
    config = config or DecodeConfig()
    _check_file(name, config)
    can_seek = os.path.isfile(name) or is_sequence(name)
    margins = SEEK_MARGINS_SECONDS if config.start_seconds and can_seek else ()
    for margin in (*margins, None):
        damage = DamageLog(name, strict=config.strict)
        reader = _open_reader(name, config, damage, with_side_packets=with_side_packets)
        try:
            source = _start(name, reader, config, margin, keep_alpha_and_depth)
        except BaseException:
            reader.close()
            raise
        if source is not None:
            return source
        reader.close()
    raise AssertionError("the last attempt returns a source or raises")


def _check_file(name: str, config: DecodeConfig) -> None:
    if is_sequence(name):
        return
    if config.fps is not None:
        raise InputError(name, "is no image sequence (as frames/%05d.png), and keeps its own times; leave --fps out")
    if name == "-":
        return
    if not os.path.exists(name):
        raise InputError(name, "there is no such file; check the path")
    if os.path.isdir(name):
        is_readable = os.access(name, os.R_OK | os.X_OK)
        raise InputError(name, f"is a folder{'; give one video file' if is_readable else ' that cannot be read'}")
    if not os.path.isfile(name):
        raise InputError(name, "is a pipe or a device; give its content on standard input: flowbrush video - < FILE")
    if os.path.getsize(name) == 0:
        raise InputError(name, "is empty; check that it was copied or downloaded completely")


def _open_reader(name: str, config: DecodeConfig, damage: DamageLog, *, with_side_packets: bool) -> Reader:
    sequence = find_sequence(name)
    if sequence is not None:
        return SequenceReader(sequence, damage, fps=config.fps, start_number=config.start_number)
    if is_webp(name):
        return WebpReader(name, damage)
    threads, hwaccel = config.threads, config.hwaccel
    return MediaReader(name, damage, threads=threads, with_side_packets=with_side_packets, hwaccel=hwaccel)


def _start(
    name: str, reader: Reader, config: DecodeConfig, margin: int | None, keep_alpha_and_depth: bool
) -> Source | None:
    """Read up to the first wanted frame, from ``margin`` seconds before it, or from the start of the file if None.

    Return None if a seek failed, or landed after the wanted start, so that frames or audio would be missing.
    """
    trim = Trim(reader.header, config, reader.side_streams)
    reader.damage.limit(trim.start_seconds, trim.end_seconds)
    if config.strict and config.duration_seconds is None:
        truncation = find_truncation(name, reader.header.container)
        if truncation is not None:
            raise InputError(name, f"{truncation}, or leave out --strict to stylize as far as it decodes")
    if margin is not None and trim.start_seconds is not None:
        place = max(trim.start_seconds - margin, reader.header.start_seconds or Fraction(0))
        if reader.side_streams and not finds_all_audio(name, place, trim.start_seconds):
            return None
        try:
            reader.seek(place)
        except av.FFmpegError:
            return None
    if trim.start_seconds is None:  # what `trim` holds back is limited too
        items = trim.items(_limited(name, reader.read()))
    else:  # what comes before the wanted part is skipped, however much it is
        items = _limited(name, trim.items(reader.read()))
    read: list[VideoFrame | StreamPacket] = []
    covers: dict[int, bytes] = {}
    for item in items:
        if not isinstance(item, VideoFrame) and is_cover(item.stream):  # these are stored first
            covers[item.stream_index] = bytes(item)
            continue
        read.append(item)
        if isinstance(item, VideoFrame):
            if margin is not None and trim.missed_start:
                return None
            info = describe_video(name, reader.header, config, item, keep_alpha_and_depth=keep_alpha_and_depth)
            items = _with_whole_last_frame(chain(read, items), trim, reader)
            return Source(info, reader, trim, (item.pts or 0) * reader.header.time_base, covers, items)
    if margin is not None:
        return None
    raise InputError(name, _why_no_frame(reader, trim, config))


def _limited(path: str, items: Iterator[VideoFrame | StreamPacket]) -> Iterator[VideoFrame | StreamPacket]:
    """Yield ``items``.

    Raises:
        InputError: there are too many packets before the first frame.
    """
    kept_bytes = 0
    for item in items:
        if not isinstance(item, VideoFrame):
            kept_bytes += item.size + SidePackets.PACKET_OVERHEAD_BYTES
            if kept_bytes > MAX_EARLY_BYTES:
                reason = (
                    f"has more than {MAX_EARLY_BYTES // 2**20} MiB of audio and other streams before its first frame"
                )
                raise InputError(path, f"{reason}, too much for a pipe; read it from a file and write it to a file")
        yield item
        if isinstance(item, VideoFrame):
            yield from items


def _with_whole_last_frame(
    items: Iterator[VideoFrame | StreamPacket], trim: Trim, reader: Reader
) -> Iterator[VideoFrame | StreamPacket]:
    """Yield ``items``; in mp4 and mov, extend the last frame to the end that the header declares.

    Packet durations in these files are differences between dts, not between pts.
    """
    video = reader.header.video
    if (
        not reader.header.container.startswith("mov")
        or video is None
        or not video.duration
        or trim.end_seconds is not None
    ):
        yield from items
        return
    last: VideoFrame | None = None
    for item in items:
        if not isinstance(item, VideoFrame):
            yield item
            continue
        if last is not None:
            yield last
        last = item
    if last is not None:
        end = (video.start_time or 0) + video.duration - trim.shift_ticks
        if not reader.damage.places:  # in a damaged file, lost frames may have followed the last one
            last.duration = max(end - (last.pts or 0), last.duration or 0)
        yield last


def _why_no_frame(reader: Reader, trim: Trim, config: DecodeConfig) -> str:
    if trim.first_seconds is not None:
        start = float(config.start_seconds or 0)
        return f"has no frame from {start:g} s on in the wanted part; choose another --start or --duration"
    reason = f" ({reader.damage.places[0].reason})" if reader.damage.places else ""
    return f"none of its video frames decodes{reason}; the file is damaged"
