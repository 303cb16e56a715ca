"""A limit for the index of an mp4 or mov, checked before FFmpeg allocates memory for it.

FFmpeg allocates up to 70 bytes for each sample that an index declares: a file of 2 kB that declares 30 million samples
took 2.1 GB. So the walk here looks wherever FFmpeg's demuxer does (mov_read_default in libavformat/mov.c), which takes
tables from any box that it descends into, in any order. The payload of ``mdat`` is skipped, as FFmpeg skips it.
"""

import heapq
import re
import struct
from collections.abc import Generator
from typing import IO, NamedTuple

# Boxes into which FFmpeg descends. It reads ``free`` and ``hoov`` as ``moov`` if they start like one.
PARENTS = frozenset(b"moov trak mdia minf dinf edts stbl moof traf mvex tref udta ilst sinf schi".split())
HIDDEN_INDEXES, INDEX_STARTS = frozenset({b"free", b"hoov"}), frozenset({b"mvhd", b"cmov"})
# Where tracks and media data may be.
MEDIA_PARENTS = (b"root", b"moov")
# Short boxes with boxes at places that depend on the codec; tables are searched in all of their bytes.
SEARCHED = frozenset(b"stsd wave iprp iref".split())
# Boxes that declare something, or in which FFmpeg does.
TABLES = re.compile(rb"stsz|stz2|stts|stsc|stco|co64|elst|trun|sidx|cmov|moof")
READ = PARENTS | HIDDEN_INDEXES | SEARCHED | set(TABLES.pattern.split(b"|")) | {b"meta", b"hdlr", b"mdat"}
# Kinds of data and metadata; others are kinds of tracks.
OTHER_HANDLERS = frozenset({b"alis", b"url ", b"rsrc", b"mdir", b"mdta", b"ID32", bytes(4)})
# FFmpeg's limit of the nesting is ten.
MAX_DEPTH = 16
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
BEFORE_STREAM_END = 2**63
# A file may have eight boxes for each of its samples, as fragments of one frame have; a stream may have them besides
# those that the bytes so far could hold: an empty fragment has 13 for each box. FFmpeg walks through them too.
MAX_BOXES = 8 * MAX_FILE_SAMPLES
STREAM_BOX_BYTES = 12
# Unknown boxes are skipped together, up to so many bytes.
AHEAD_BYTES = 1024
# Boxes are searched as they arrive, in pieces of so many bytes at least; and so many bytes of all of them.
SEARCH_BYTES = 16
MAX_SEARCHED_BYTES = 64 * 2**20
# Bytes before the place of the walk that an `IndexGuard` keeps.
KEPT_BYTES = 4096

_HEAD = struct.Struct(">I4s")


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


class IndexWalk:
    """A walk over the boxes of a file; whoever drives it reads the bytes that it asks for.

    Args:
        size: of the file in bytes; None for a stream.

    Attributes:
        fault: why the file must not be opened, None if nothing was found.
    """

    def __init__(self, size: int | None) -> None:
        self.fault: str | None = None
        self._size = size
        self._tracks = self._entries = self._table_bytes = self._boxes = self._searched_bytes = 0
        self._track = Track()
        self._ends: list[tuple[int, bytes]] = []
        # Places of fragments that a `sidx` declares; FFmpeg goes there, even if it is inside of another box.
        self._fragments: list[int] = []

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

    def requests(self) -> Requests:
        """Walk from the start to the end, or to the first fault."""
        place = 0
        self._ends = [(BEFORE_STREAM_END if self._size is None else self._size, b"root")]
        while self._ends and self.fault is None:
            end, parent = self._ends[-1]
            data = b"" if place + 8 > end else (yield Need(place, 8, AHEAD_BYTES))
            if len(data) < 8:
                if data or end == self._ends[0][0]:
                    return
                place = yield from self._leave()
                continue
            while self._fragments and self._fragments[0] <= place:
                heapq.heappop(self._fragments)
            before, place = place, self._walk_known(place, data)
            if place == before:
                place = yield from self._enter(place, data[:8], end, parent)
            self._check_count(1, place)

    def _walk_known(self, start: int, data: bytes) -> int:
        """Walk as far as ``data``, the bytes from ``start`` on, tell all that is needed; return the place.

        Most boxes are unknown, or parents. FFmpeg takes as long for them; the general way takes three times as long.
        """
        place, boxes, depth = start, 0, len(self._ends)
        data_end = start + len(data)
        next_fragment = self._fragments[0] if self._fragments else BEFORE_STREAM_END
        end, parent = self._ends[-1]
        while place + 8 <= data_end:
            if place + 8 > end:
                if depth == 1 or end > data_end:
                    break
                place, depth = self._ascend(), depth - 1
                end, parent = self._ends[-1]
                continue
            length, kind = _HEAD.unpack_from(data, place - start)
            box_end = min(place + length, end)
            if length < 8 or box_end > next_fragment:
                break
            if kind in PARENTS and (kind != b"trak" or parent in MEDIA_PARENTS):
                place += 8
                if place < box_end and depth < MAX_DEPTH:
                    self._descend(kind, box_end)
                    end, parent, depth = box_end, kind, depth + 1
                else:
                    place = box_end
            elif kind not in READ or self._read_known(kind, parent, data[place - start + 8 : place - start + 16]):
                place = box_end
            else:
                break
            boxes += 1
        self._check_count(boxes, place)
        return place

    def _read_known(self, kind: bytes, parent: bytes, content: bytes) -> bool:
        """Read what a box declares, of which ``content`` are the first bytes; return whether they suffice."""
        if len(content) < 8:
            return False
        if kind == b"trun":
            self._entries += int.from_bytes(content[4:])
            return True
        if kind == b"mdat":
            return parent in MEDIA_PARENTS
        return kind in HIDDEN_INDEXES and content[4:] not in INDEX_STARTS

    def _check_count(self, boxes: int, place: int) -> None:
        self._boxes += boxes
        if self._boxes > MAX_BOXES and self.fault is None:
            limit = MAX_BOXES + (place // STREAM_BOX_BYTES if self._size is None else 0)
            if self._boxes > limit:
                self.fault = f"it has more than {limit} boxes; it is damaged or malicious"

    def _leave(self) -> Generator[Need, bytes, int]:
        """Leave a parent; after a track FFmpeg makes its index."""
        yield Need(self._ends[-1][0], 0)  # a stream must have got there
        return self._ascend()

    def _ascend(self) -> int:
        place, kind = self._ends.pop()
        if kind == b"trak":
            self._entries += self._track.entries()
            self._track = Track()
        return place

    def _enter(self, place: int, head: bytes, end: int, parent: bytes) -> Generator[Need, bytes, int]:
        """Look at the box at ``place`` and return the next place."""
        length, kind = int.from_bytes(head[:4]), head[4:]
        if kind in (b"trak", b"mdat") and parent not in MEDIA_PARENTS:
            return self._give_up(place)
        start = place + 8
        if length == 1 and start + 8 <= end:
            length, start = int.from_bytes((yield Need(start, 8))), start + 8
            length = 0 if length == 8 else length  # as FFmpeg has it
        if length and length < start - place:
            return self._give_up(place)
        box_end = min(place + length, end) if length else end
        if kind in HIDDEN_INDEXES and (yield Need(start, 8))[4:] in INDEX_STARTS:
            kind = b"moov"
        if kind == b"meta":
            start = yield from self._find_handler(start, box_end)
        if kind in PARENTS or kind == b"meta":
            if len(self._ends) < MAX_DEPTH and start < box_end:
                self._descend(kind, box_end)
                return start
        elif kind in SEARCHED:
            yield from self._search(start, box_end)
        else:
            yield from self._read(kind, start, box_end)
        return self._skip(place, box_end)

    def _give_up(self, place: int) -> int:
        """FFmpeg leaves a parent at a box that is impossible there."""
        end, kind = self._ends[-1]
        if kind == b"root" and len(self._ends) == 1:
            self._ends[-1] = (place, kind)
            return place
        return end

    def _descend(self, kind: bytes, end: int) -> None:
        if kind == b"trak":
            self._entries += self._track.entries()
            self._track = Track()
            self._tracks += 1
        elif kind == b"moof":
            self._entries += self._tracks
        self._ends.append((end, kind))

    def _skip(self, place: int, end: int) -> int:
        """Go on after a box, unless a fragment is said to start in it."""
        if self._fragments and place < self._fragments[0] < end and len(self._ends) < MAX_DEPTH:
            self._ends.append((end, b"root"))
            return heapq.heappop(self._fragments)
        return end

    def _find_handler(self, start: int, end: int) -> Generator[Need, bytes, int]:
        """Return where the boxes of ``meta`` start: FFmpeg searches the first one, ``hdlr``, in steps of four bytes."""
        place = start
        while self._may_search(place, end):
            data = yield Need(place, 4, min(CHUNK_BYTES, end - place) - 4)
            found = data.find(b"hdlr")
            while found > 0 and found % 4:
                found = data.find(b"hdlr", found + 1)
            if found >= 0:
                return max(place + found - 4, start)
            if len(data) < 4:  # the end of the file
                break
            place += len(data) // 4 * 4
            self._searched_bytes += len(data)
        return end

    def _search(self, start: int, end: int) -> Requests:
        place = start
        while self._may_search(place, end):
            needed = min(SEARCH_BYTES, end - place)
            data = yield Need(place, needed, min(CHUNK_BYTES, end - place) - needed)
            for found in TABLES.finditer(data):
                if self.fault is not None:
                    return
                self._check_count(1, place)
                yield from self._read(found[0], place + found.end(), end)
            if len(data) < SEARCH_BYTES:  # the end of the box or of the file
                return
            place += len(data) - 3
            self._searched_bytes += len(data)

    def _may_search(self, place: int, end: int) -> bool:
        """Return whether to search on from ``place``: a box may be a hole of any length."""
        if self._searched_bytes > MAX_SEARCHED_BYTES and self.fault is None:
            self.fault = f"its descriptions have more than {MAX_SEARCHED_BYTES} bytes; it is damaged or malicious"
        return self.fault is None and place + 4 <= end

    def _read(self, kind: bytes, start: int, end: int) -> Requests:
        """Read what a box declares; FFmpeg reads on after the end of a box that is too short."""
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
                self._entries += int.from_bytes((yield Need(start, 8))[4:])
            case b"moof":
                self._entries += self._tracks
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
            heapq.heappush(self._fragments, place)
            place += int.from_bytes(items[item : item + 4]) & 0x7FFF_FFFF

    def _count_table(self, length: int, end: int) -> None:
        """Count a table that ends at ``end``. If all so far are longer than the file up to there, they share bytes."""
        self._table_bytes += length
        if self.fault is None and self._table_bytes > 2 * end:
            self.fault = "its index is damaged or malicious: its tables have more bytes than there are"


class IndexGuard:
    """Checks a stream or file as it arrives: all bytes pass here before FFmpeg gets them."""

    def __init__(self) -> None:
        self._walk = IndexWalk(None)
        self._requests = self._walk.requests()
        self._wanted: Need | None = next(self._requests)
        self._kept = bytearray()
        self._end = 0

    def find_fault(self, data: bytes, place: int | None = None) -> str | None:
        """Return why FFmpeg must not get ``data``.

        Args:
            data: the next bytes; none are the end.
            place: of ``data`` in a file, if FFmpeg seeks.
        """
        if place is not None and place != self._end:
            self._kept.clear()
            self._end = place
            if self._wanted is not None and place > self._wanted.place:
                return "its index cannot be checked from here; download the file first"
        self._kept += data
        self._end += len(data)
        while self._wanted is not None and (not data or self._wanted.place + self._wanted.length <= self._end):
            place, length, ahead = self._wanted
            first = place - self._end + len(self._kept)
            if first < 0:
                return "its index is damaged: a table is longer than its box"
            try:
                self._wanted = self._requests.send(bytes(self._kept[first : first + length + ahead]))
            except StopIteration:
                self._wanted = None
        kept = self._end if self._wanted is None else self._wanted.place - KEPT_BYTES
        del self._kept[: max(kept - self._end + len(self._kept), 0)]
        return self._walk.find_fault(self._end, at_end=not data)


def check_index(file: IO[bytes], size: int) -> str | None:
    """Return why the index of an mp4 or mov must not be loaded; None if nothing is wrong with it."""
    walk = IndexWalk(size)
    requests = walk.requests()
    start, read, wanted = 0, b"", 0
    try:
        place, length, ahead = next(requests)
        while True:
            first = place - start
            if first < 0 or first + length > len(read):  # read ahead, ever more, as long as boxes are small
                is_near = 0 <= first <= len(read) + AHEAD_BYTES
                wanted = max(min(2 * wanted, CHUNK_BYTES) if is_near else 0, length)
                file.seek(place)
                start, read, first = place, file.read(wanted), 0
            place, length, ahead = requests.send(read[first : first + length + ahead])
    except StopIteration:
        return walk.find_fault(size, at_end=True)
