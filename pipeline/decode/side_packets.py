"""A second pass over a file: packets of the other streams, trimmed like the frames of the first.

In a single pass from the middle of a file: whether it has all audio.
"""

from collections.abc import Collection, Iterator
from fractions import Fraction
from itertools import chain
from typing import cast

import av
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from pipeline.config import DecodeConfig
from pipeline.decode.open import InputFile
from pipeline.decode.reader import main_video, read_header
from pipeline.decode.trim import INTERLEAVE_SECONDS, Trim
from pipeline.media.damage import DamageLog
from pipeline.media.packets import SidePackets, StreamPacket
from pipeline.media.stream_kinds import has_packets, is_cover

# Reading starts this many seconds before the wanted start: a subtitle that starts earlier and is still shown is missed.
SEEK_SECONDS = 60
# So much is kept until all audio has shown up after a seek; otherwise reading starts at the start of the file.
MAX_KEPT_BYTES = 16 * 2**20


def read_packets(
    path: str, config: DecodeConfig, indexes: Collection[int], damage: DamageLog, shift_ticks: int
) -> Iterator[StreamPacket]:
    """Yield the packets of the streams ``indexes`` of a file, in its order, trimmed like its frames.

    Covers are left out, as `pipeline.decode.source.Source` has them. Packets that the container marks as corrupt are
    added to ``damage``; places that cannot be read are skipped.

    Raises:
        InputError: the file cannot be opened or read.
    """
    if not indexes:
        return
    for may_seek in (True, False):
        file = InputFile(path)
        try:
            video = main_video(file.container, path)
            header = read_header(file.container, video)
            streams = tuple(
                stream
                for stream in header.other_streams
                if stream.index in indexes and has_packets(stream) and not is_cover(stream)
            )
            trim = Trim(header, config, streams, has_frames=False, shift_ticks=shift_ticks)
            start = None if trim.start_seconds is None else trim.start_seconds - SEEK_SECONDS
            is_whole = start is None or start <= (header.start_seconds or 0) or not may_seek
            if start is None or is_whole:
                _discard_others(file, streams)
                packets = file.packets(streams, lambda error: None)
            else:
                found = _packets_from(start, file, streams, video)
                if found is None:
                    continue
                packets = found
            yield from cast(Iterator[StreamPacket], trim.items(_checked(packets, damage, is_whole)))
            return
        finally:
            file.close()


def finds_all_audio(path: str, place_seconds: Fraction, start_seconds: Fraction) -> bool:
    """Return whether reading from a key frame at ``place_seconds`` on gives all audio from ``start_seconds`` on.

    Audio may be stored long before its frames, so that a seek to these skips it.

    Raises:
        InputError: the file cannot be opened or read.
    """
    file = InputFile(path)
    try:
        video = main_video(file.container, path)
        audio = tuple(stream for stream in file.container.streams.audio if has_packets(stream))
        missing = {stream.index for stream in audio}
        if not missing or file.container.format.name.startswith(
            "mov"
        ):  # where FFmpeg seeks in each stream by its index
            return True
        _discard_others(file, (*audio, video))
        try:
            file.seek(place_seconds, video)
        except av.FFmpegError:
            return False
        first: int | None = None
        for packet in file.packets((*audio, video), lambda error: None):
            first = packet.pos if first is None else first
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                continue
            seconds = time * packet.time_base
            if packet.stream_index in missing and seconds <= start_seconds:
                missing.discard(packet.stream_index)
            if not missing:
                return True
            if seconds > start_seconds + INTERLEAVE_SECONDS:
                break
    finally:
        file.close()
    return first is not None and not _has_audio_before(path, first, missing, start_seconds)


def _has_audio_before(path: str, place: int, indexes: Collection[int], start_seconds: Fraction) -> bool:
    """Return whether audio from ``start_seconds`` on is stored before the byte ``place``, or may be."""
    file = InputFile(path)
    try:
        streams = tuple(stream for stream in file.container.streams if stream.index in indexes)
        _discard_others(file, streams)
        for packet in file.packets(streams, lambda error: None):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.pos is None or (
                packet.pos < place and time is not None and time * packet.time_base >= start_seconds
            ):
                return packet.size > 0
            if packet.pos >= place:
                return False
        return False
    finally:
        file.close()


def _packets_from(
    start: Fraction, file: InputFile, streams: tuple[Stream, ...], video: VideoStream
) -> Iterator[StreamPacket] | None:
    """Return the packets from ``start`` on; None if seeking leads to a later place of the video or of audio.

    FFmpeg seeks to a frame: if all of them come after ``start``, to the first. Audio may be stored long before it. Also
    None if it takes too many packets to find out, such as those without a time.
    """
    _discard_others(file, (*streams, video))
    try:
        file.seek(start, video)
    except av.FFmpegError:
        return None
    packets = file.packets((*streams, video), lambda error: None)
    missing = {stream.index for stream in streams if stream.type == "audio"}
    read: list[StreamPacket] = []
    kept_bytes = 0
    for packet in packets:
        if packet.stream_index != video.index:
            read.append(packet)
            kept_bytes += packet.size + SidePackets.PACKET_OVERHEAD_BYTES
        time = packet.dts if packet.dts is not None else packet.pts
        if kept_bytes > MAX_KEPT_BYTES:
            return None
        if time is None:
            continue
        if time * packet.time_base > start + INTERLEAVE_SECONDS:
            return None
        missing.discard(packet.stream_index)
        if not missing:
            _discard_others(file, streams)
            return (packet for packet in chain(read, packets) if packet.stream_index != video.index)
    return None


def _discard_others(file: InputFile, streams: tuple[Stream, ...]) -> None:
    if not file.clock_may_jump:  # otherwise all streams show where it does
        for stream in file.container.streams:
            stream.discard = Discard.default if stream in streams else Discard.all


def _checked(packets: Iterator[StreamPacket], damage: DamageLog, is_whole: bool) -> Iterator[StreamPacket]:
    for packet in packets:
        if packet.size:
            damage.add_if_corrupt(packet, is_numbered=is_whole)
            yield packet
