"""A second pass over a file: the packets of all streams but the picture, nothing decoded, cut as in the first."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
from av.stream import Discard, Stream

from pipeline.config import DecodeConfig
from pipeline.decode.demuxer import MOST_FAILURES, has_packets, main_video, start_seconds
from pipeline.decode.open import Storage, open_container, packets_of
from pipeline.decode.trim import Trim
from pipeline.errors import InputError, reason_of
from pipeline.media.damage import DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# So far before the part that is wanted reading begins: what is shown or heard longer than that is not met with.
SEEK_SECONDS = 60


def read_packets(
    path: str, config: DecodeConfig, indexes: Collection[int], damage: DamageLog
) -> Iterator[StreamPacket]:
    """Packets of the streams ``indexes`` of the file at ``path``, in its order, cut and moved as its frames are.

    Those that are damaged are noted in ``damage``, as far as the container tells.

    Raises:
        InputError: the file cannot be opened or read any more.
    """
    if not indexes:
        return
    reader = PacketReader(path, indexes, damage)
    try:
        cut = Trim(reader, config, has_frames=False)
        if cut.begin_seconds is not None:
            reader.seek(cut.begin_seconds - SEEK_SECONDS)
        yield from cast("Iterator[StreamPacket]", cut.items())
    finally:
        reader.close()


class PacketReader:
    """Reads packets of the streams ``indexes``; see `pipeline.decode.trim.Readable` for the attributes."""

    def __init__(self, path: str, indexes: Collection[int], damage: DamageLog) -> None:
        self._path = path
        self._damage = damage
        self._storage = Storage(path)
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
        self.read_along: tuple[Stream, ...] = tuple(
            stream
            for stream in self._input.streams
            if stream.index in indexes and has_packets(stream) and not is_cover(stream)  # covers are known already
        )

    def read(self) -> Iterator[StreamPacket]:
        """All packets; places that cannot be read are left out."""
        for stream in self._input.streams:
            stream.discard = Discard.default if stream in self.read_along else Discard.all
        failures = 0
        while failures < MOST_FAILURES:
            try:
                for packet in packets_of(self._input, self.read_along):
                    if packet.size:
                        failures = 0
                        self._storage.count(packet.pos)
                        self._damage.add_if_corrupt(packet, is_numbered=self._is_whole)
                        yield packet
                self._storage.check()
                return
            except av.FFmpegError:
                self._storage.check()
                failures += 1
            except OSError as error:
                raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error

    def seek(self, seconds: Fraction) -> None:
        """Go to a place at or before ``seconds``; stay where that fails."""
        if seconds <= (self.start_seconds or 0):
            return
        self._is_whole = False
        with suppress(av.FFmpegError):
            self._input.seek(int(seconds // self.time_base), stream=self._video)

    def close(self) -> None:
        """Let go of the file."""
        self._input.close()
