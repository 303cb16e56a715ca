"""What the tables of an mp4 or mov declare: samples, chunks, edits, fragments; and how many are too many.

FFmpeg allocates up to 70 bytes for each sample that an index declares.
"""

import heapq
import struct
from collections.abc import Generator
from typing import NamedTuple

# Kinds of data and metadata; others are kinds of tracks.
OTHER_HANDLERS = frozenset({b"alis", b"url ", b"rsrc", b"mdir", b"mdta", b"ID32", bytes(4)})
CHUNK_BYTES = 65_536
# A stream, whose size is unknown, may declare this many samples (280 MB) beyond those that the bytes so far could
# hold: 24 hours of PCM audio.
MAX_STREAM_SAMPLES = 4_000_000
# The same for a file, whose size may be a hole that takes no space: 24 hours of 200 frames per second.
MAX_FILE_SAMPLES = 20_000_000
# An edit list may repeat this many samples.
MAX_REPEATED_SAMPLES = 1_000_000
# FFmpeg joins samples of PCM audio into packets of 1024, or a few less.
PCM_PACKET_SAMPLES = 512


class Need(NamedTuple):
    """Bytes of the file that a walk needs to go on.

    Attributes:
        place: of the first.
        length: number of bytes; there are fewer at the end of the file.
        ahead: number of bytes after them that help if they are there already.
    """

    place: int
    length: int
    ahead: int = 0


# Is sent the bytes.
Requests = Generator[Need, bytes, None]


class Track:
    """What the tables of a track declare.

    Attributes:
        samples: number of samples.
        chunks: number of chunks.
        chunk_samples: samples of the largest chunk.
        edits: entries of the edit list.
        handlers: kinds of the track, as ``vide``.
        is_pcm_time: for each ``stts``, whether each sample lasts one tick; FFmpeg reads such audio by chunk.
    """

    def __init__(self) -> None:
        self.samples = self.chunks = self.chunk_samples = self.edits = 0
        self.handlers: set[bytes] = set()
        self.is_pcm_time: list[bool] = []

    def entries(self) -> int:
        """Return the number of entries of FFmpeg's index, or a few more."""
        is_pcm = self.is_pcm_time and all(self.is_pcm_time)
        entries = 0 if is_pcm and self.handlers == {b"soun"} else self.samples
        if self.handlers != {b"vide"}:
            entries += self.chunks * (self.chunk_samples // PCM_PACKET_SAMPLES + 1)
        return entries + (max(entries * self.edits - MAX_REPEATED_SAMPLES, 0) if self.edits > 1 else 0)


class IndexTables:
    """The tables of all tracks.

    Args:
        size: of the file in bytes; None for a stream.

    Attributes:
        fault: why the file must not be opened, None if nothing was found; also set by the walk.
        fragments: heap of the places of fragments that a `sidx` declares.
    """

    def __init__(self, size: int | None) -> None:
        self.fault: str | None = None
        self.fragments: list[int] = []
        self._size = size
        self._tracks = self._entries = self._table_bytes = 0
        self._track = Track()

    def start_track(self) -> None:
        """Start a track."""
        self.end_track()
        self._tracks += 1

    def end_track(self) -> None:
        """End a track, of which FFmpeg makes its index now."""
        self._entries += self._track.entries()
        self._track = Track()

    def add_fragment(self) -> None:
        """Count a fragment, for each track of which FFmpeg allocates memory."""
        self._entries += self._tracks

    def add_run(self, samples: int) -> None:
        """Count the samples of a run in a fragment."""
        self._entries += samples

    def find_fault(self, read_bytes: int, *, at_end: bool) -> str | None:
        """Return why the file must not be opened, None if nothing was found.

        Args:
            read_bytes: bytes of the file that are known to exist.
            at_end: whether the walk has ended.
        """
        entries = self._entries + (self._track.entries() if at_end else 0)
        # Tracks may share their bytes.
        limit = 2 * read_bytes + MAX_STREAM_SAMPLES if self._size is None else min(2 * read_bytes, MAX_FILE_SAMPLES)
        if self.fault is None and entries > limit:
            where = f"in {read_bytes} bytes" if self._size is not None else f"after {read_bytes} bytes of a stream"
            self.fault = f"its index declares at least {entries} samples {where}; it is damaged or malicious"
        return self.fault

    def read(self, kind: bytes, start: int, end: int) -> Requests:
        """Read what a table declares; FFmpeg reads on after the end of a box that is too short."""
        track = self._track
        match kind:
            case b"stsz" | b"stz2":
                track.samples += int.from_bytes((yield Need(start, 12))[8:])
            case b"stts":
                count = int.from_bytes((yield Need(start, 8))[4:])
                track.is_pcm_time.append(count == 1 and int.from_bytes((yield Need(start + 12, 4))) == 1)
            case b"stco" | b"co64":
                track.chunks += int.from_bytes((yield Need(start, 8))[4:])
            case b"stsc":
                yield from self._read_chunk_sizes(start, end)
            case b"elst":
                version = (yield Need(start, 8))[:1]
                track.edits += max(end - start - 8, 0) // (20 if version == b"\1" else 12)
            case b"hdlr":
                handler = (yield Need(start, 12))[8:]
                if handler not in OTHER_HANDLERS:
                    track.handlers.add(handler)
            case b"trun":
                self.add_run(int.from_bytes((yield Need(start, 8))[4:]))
            case b"moof":
                self.add_fragment()
            case b"sidx":
                yield from self._read_fragments(start, end)
            case b"cmov":
                # Compressed with zlib, as QuickTime wrote it around 2000; its sample counts cannot be read.
                self.fault = (
                    "has a compressed index, which is not supported; copy it into a new file with another program first"
                )

    def _read_chunk_sizes(self, start: int, end: int) -> Requests:
        """``stsc``: first chunk, samples of each, and the description, for each run of chunks; 12 bytes."""
        count = int.from_bytes((yield Need(start, 8))[4:])
        place, table_end = start + 8, start + 8 + 12 * count
        if table_end > end:
            self.fault = f"its index is damaged: a table of {count} entries is longer than its box"
        elif count > MAX_FILE_SAMPLES:  # in a hole, or beyond the end of a stream
            self.fault = f"its index has a table of {count} entries; it is damaged or malicious"
        self._count_table(12 * count, table_end)
        while self.fault is None and place < table_end:
            data = yield Need(place, min(CHUNK_BYTES // 12 * 12, table_end - place))
            runs = struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4])
            self._track.chunk_samples = max(self._track.chunk_samples, *runs[1::3], 0)
            place += CHUNK_BYTES // 12 * 12

    def _read_fragments(self, start: int, end: int) -> Requests:
        """``sidx``: where fragments start. FFmpeg allocates memory for each track of each of them."""
        width = 8 if (yield Need(start, 1)) == b"\1" else 4
        head = yield Need(start, 16 + 2 * width)
        count, first = int.from_bytes(head[-2:]), int.from_bytes(head[12 + width : 12 + 2 * width])
        self._entries += self._tracks * count
        items = yield Need(start + len(head), 12 * count)
        self._count_table(len(items), start + len(head) + len(items))
        place = end + first
        for item in range(0, len(items) - 11, 12):
            heapq.heappush(self.fragments, place)
            place += int.from_bytes(items[item : item + 4]) & 0x7FFF_FFFF

    def _count_table(self, length: int, end: int) -> None:
        """Count a table that ends at ``end``. If all so far are longer than the file up to there, they share bytes."""
        self._table_bytes += length
        if self.fault is None and self._table_bytes > 2 * end:
            self.fault = "its index is damaged or malicious: its tables have more bytes than there are"
