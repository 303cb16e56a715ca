"""A second pass over a file: packets of the other streams, trimmed like the frames of the first."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import cast

import av
from av.stream import Discard

from pipeline.config import DecodeConfig
from pipeline.decode.open import InputFile
from pipeline.decode.reader import main_video, read_header
from pipeline.decode.trim import Trim
from pipeline.media.damage import DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import has_packets, is_cover

# Reading starts this many seconds before the wanted start: a subtitle that starts earlier and is still shown is missed.
SEEK_SECONDS = 60


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
    file = InputFile(path)
    try:
        video = main_video(file.container, path)
        header = read_header(file.container, video)
        streams = tuple(
            stream
            for stream in header.other_streams
            if stream.index in indexes and has_packets(stream) and not is_cover(stream)
        )
        if not file.clock_may_jump:  # otherwise all streams show where it does
            for stream in file.container.streams:
                stream.discard = Discard.default if stream in streams else Discard.all
        trim = Trim(header, config, streams, has_frames=False, shift_ticks=shift_ticks)
        start = None if trim.start_seconds is None else trim.start_seconds - SEEK_SECONDS
        is_whole = start is None or start <= (header.start_seconds or 0)
        if start is not None and not is_whole:
            with suppress(av.FFmpegError):
                file.seek(start, video)
        packets = _checked(file.packets(streams, lambda error: None), damage, is_whole)
        yield from cast(Iterator[StreamPacket], trim.items(packets))
    finally:
        file.close()


def _checked(packets: Iterator[StreamPacket], damage: DamageLog, is_whole: bool) -> Iterator[StreamPacket]:
    for packet in packets:
        if packet.size:
            damage.add_if_corrupt(packet, is_numbered=is_whole)
            yield packet
