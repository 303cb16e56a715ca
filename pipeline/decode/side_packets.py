"""A second pass over a file: packets of the other streams, trimmed like the frames of the first."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
from av.stream import Discard, Stream

from pipeline.config import DecodeConfig
from pipeline.decode.open import FileCheck, demux, open_container
from pipeline.decode.reader import MAX_FAILURES, has_packets, main_video, start_seconds
from pipeline.decode.trim import Trim
from pipeline.errors import InputError, reason_of
from pipeline.media.damage import DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# Reading starts so long before the wanted part: a subtitle that starts earlier and is still shown is missed.
SEEK_SECONDS = 60


def read_packets(
    path: str, config: DecodeConfig, indexes: Collection[int], damage: DamageLog
) -> Iterator[StreamPacket]:
    """Yield the packets of the streams ``indexes`` of a file, in its order, trimmed like its frames.

    Packets that the container marks as corrupt are added to ``damage``.

    Raises:
        InputError: the file cannot be opened or read.
    """
    if not indexes:
        return
    reader = _PacketReader(path, indexes, damage)
    try:
        trim = Trim(reader, config, has_frames=False)
        if trim.start_seconds is not None:
            reader.seek(trim.start_seconds - SEEK_SECONDS)
        yield from cast(Iterator[StreamPacket], trim.items())
    finally:
        reader.close()


class _PacketReader:
    """Reads packets of the streams ``indexes``; see `pipeline.decode.trim.Readable` for the attributes."""

    def __init__(self, path: str, indexes: Collection[int], damage: DamageLog) -> None:
        self._path = path
        self._damage = damage
        self._file_check = FileCheck(path)
        self._is_whole = True
        self._input = open_container(path, None)
        try:
            self._video = main_video(self._input, path)
        except InputError:
            self._input.close()
            raise
        self.time_base = self._video.time_base or Fraction(1, 90000)
        self.average_rate: Fraction | None = None
        self.start_seconds = start_seconds(self._video, self._input)
        self.side_streams: tuple[Stream, ...] = tuple(
            stream
            for stream in self._input.streams
            if stream.index in indexes and has_packets(stream) and not is_cover(stream)  # covers are read already
        )

    def read(self) -> Iterator[StreamPacket]:
        """Yield all packets; places that cannot be read are skipped."""
        for stream in self._input.streams:
            stream.discard = Discard.default if stream in self.side_streams else Discard.all
        failures = 0
        while failures < MAX_FAILURES:
            try:
                for packet in demux(self._input, self.side_streams):
                    if packet.size:
                        failures = 0
                        self._file_check.count_packet(packet.pos)
                        self._damage.add_if_corrupt(packet, is_numbered=self._is_whole)
                        yield packet
                self._file_check.check()
                return
            except av.FFmpegError:
                self._file_check.check()
                failures += 1
            except OSError as error:
                raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error

    def seek(self, seconds: Fraction) -> None:
        """Go to a place at or before ``seconds``; stay at the start if that fails."""
        if seconds <= (self.start_seconds or 0):
            return
        self._is_whole = False
        with suppress(av.FFmpegError):
            self._input.seek(int(seconds // self.time_base), stream=self._video)

    def close(self) -> None:
        """Close the file."""
        self._input.close()
