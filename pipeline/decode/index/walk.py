"""A walk over the boxes of an mp4 or mov, wherever FFmpeg looks for an index."""

import heapq
import re
import struct
from collections.abc import Generator

from pipeline.decode.index.tables import CHUNK_BYTES, MAX_FILE_SAMPLES, IndexTables, Need, Requests

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
# FFmpeg's limit of the nesting is ten.
MAX_DEPTH = 16
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

_HEAD = struct.Struct(">I4s")


class IndexWalk:
    """A walk over the boxes of a file; whoever drives it reads the bytes that it asks for.

    Args:
        size: of the file in bytes; None for a stream.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._boxes = self._searched_bytes = 0
        self._tables = IndexTables(size)
        self._ends: list[tuple[int, bytes]] = []
        # FFmpeg goes to these places, even inside of another box.
        self._fragments = self._tables.fragments

    def find_fault(self, read_bytes: int, *, at_end: bool) -> str | None:
        """Return why the file must not be opened, None if nothing was found.

        Args:
            read_bytes: bytes of the file that are known to exist.
            at_end: whether the walk has ended.
        """
        return self._tables.find_fault(read_bytes, at_end=at_end)

    def requests(self) -> Requests:
        """Walk from the start to the end, or to the first fault."""
        place = 0
        self._ends = [(BEFORE_STREAM_END if self._size is None else self._size, b"root")]
        while self._ends and self._tables.fault is None:
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
            self._tables.add_run(int.from_bytes(content[4:]))
            return True
        if kind == b"mdat":
            return parent in MEDIA_PARENTS
        return kind in HIDDEN_INDEXES and content[4:] not in INDEX_STARTS

    def _check_count(self, boxes: int, place: int) -> None:
        self._boxes += boxes
        if self._boxes > MAX_BOXES and self._tables.fault is None:
            limit = MAX_BOXES + (place // STREAM_BOX_BYTES if self._size is None else 0)
            if self._boxes > limit:
                self._tables.fault = f"it has more than {limit} boxes; it is damaged or malicious"

    def _leave(self) -> Generator[Need, bytes, int]:
        """Leave a parent; after a track FFmpeg makes its index."""
        yield Need(self._ends[-1][0], 0)  # a stream must have got there
        return self._ascend()

    def _ascend(self) -> int:
        place, kind = self._ends.pop()
        if kind == b"trak":
            self._tables.end_track()
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
            yield from self._tables.read(kind, start, box_end)
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
            self._tables.start_track()
        elif kind == b"moof":
            self._tables.add_fragment()
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
                if self._tables.fault is not None:
                    return
                self._check_count(1, place)
                yield from self._tables.read(found[0], place + found.end(), end)
            if len(data) < SEARCH_BYTES:  # the end of the box or of the file
                return
            place += len(data) - 3
            self._searched_bytes += len(data)

    def _may_search(self, place: int, end: int) -> bool:
        """Return whether to search on from ``place``: a box may be a hole of any length."""
        if self._searched_bytes > MAX_SEARCHED_BYTES and self._tables.fault is None:
            self._tables.fault = (
                f"its descriptions have more than {MAX_SEARCHED_BYTES} bytes; it is damaged or malicious"
            )
        return self._tables.fault is None and place + 4 <= end
