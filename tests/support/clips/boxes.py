"""Small mp4 and mov files made box by box, whose index declares more than they have."""

import struct
from collections.abc import Callable

# Samples that FFmpeg would take 700 MB for.
MANY = 20_000_000


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box; ISO/IEC 14496-12, 4.2."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def table(kind: bytes, *words: int, version: int = 0) -> bytes:
    """Return a box with version, flags and numbers of 32 bits."""
    return box(kind, bytes([version, 0, 0, 0]), struct.pack(f">{len(words)}I", *words))


def sample_table(samples: int, *, handler: bytes = b"vide", chunks: int = 1, hidden: bytes = b"") -> bytes:
    """Return a ``stbl`` of samples of one byte, equally many in each chunk.

    Args:
        samples: in all.
        handler: kind of the track.
        chunks: their number.
        hidden: boxes inside of the description of the samples.
    """
    if handler == b"vide":
        size = struct.pack(">16xHHIIIH32xHh", 16, 16, 72 << 16, 72 << 16, 0, 1, 24, -1)
    else:
        size = struct.pack(">8xHHHHI", 1, 8, 0, 0, 8000 << 16)
    return box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"raw ", bytes(7), b"\1", size, hidden)),
        table(b"stts", 1, samples, 1 if handler == b"soun" else 40),
        table(b"stsc", 1, 1, samples // chunks, 1),
        b"" if hidden else table(b"stsz", 1, samples),
        table(b"stco", chunks, *[8] * chunks),
    )


def track(samples: bytes, *, handler: bytes = b"vide", edits: int = 0, number: int = 1) -> bytes:
    """Return a ``trak``.

    Args:
        samples: the content of ``minf``.
        handler: kind of the track.
        edits: entries of its edit list, each of a whole clip.
        number: of the track.
    """
    media = (
        table(b"mdhd", 0, 0, 1000, 200_000, 0),
        box(b"hdlr", bytes(4), b"mhlr", handler, bytes(13)),
        box(b"minf", samples),
    )
    edit_list = box(b"edts", table(b"elst", edits, *[200_000, 0, 1 << 16] * edits)) if edits else b""
    return box(b"trak", table(b"tkhd", 0, 0, number, 0, 1000, *[0] * 15), edit_list, box(b"mdia", *media))


def movie(*tracks: bytes, root: bytes = b"moov", before: bytes = b"") -> bytes:
    """Return a file with these tracks, in a box of the kind ``root``."""
    index = box(root, table(b"mvhd", 0, 0, 1000, 1000, *[0] * 20), *tracks)
    return before + box(b"ftyp", b"qt  ", bytes(4)) + index + box(b"mdat", bytes(1000))


def _inside(kind: bytes) -> bytes:
    return movie(track(box(kind, sample_table(MANY))))


def _hidden_fragment() -> bytes:
    """A fragment inside of ``mdat``, where an index of fragments sends FFmpeg."""
    run = box(b"traf", table(b"tfhd", 1), table(b"trun", MANY))
    fragment = box(b"moof", table(b"mfhd", 1), run)
    extends = box(b"mvex", table(b"trex", 1, 1, 40, 1, 0))
    start = movie(track(sample_table(0)), extends)[:-1008]
    fragments = box(b"sidx", struct.pack(">5IHH3I", 0, 1, 1000, 0, 108, 0, 1, len(fragment), 40, 0))
    return start + fragments + box(b"mdat", bytes(100), fragment, bytes(100))


def _many_fragments() -> bytes:
    tracks = [track(sample_table(0), number=number + 1) for number in range(300)]
    items = struct.pack(">5IHH", 0, 1, 1000, 0, 0, 0, 20_000) + struct.pack(">3I", 1, 1, 0) * 20_000
    return movie(*tracks, box(b"mvex", table(b"trex", 1, 1, 0, 0, 0))) + box(b"sidx", items)


# By what hides the index.
BOMBS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: movie(track(sample_table(MANY))),
    "preview first": lambda: movie(track(sample_table(MANY)), before=box(b"pict", bytes(8))),
    "junk first": lambda: movie(track(sample_table(MANY)), before=box(b"junk", b"junk")),
    "unknown box first": lambda: movie(track(sample_table(MANY)), before=box(b"abcd", b"junk")),
    "free first": lambda: movie(track(sample_table(MANY)), before=box(b"free", bytes(9))),
    "index in free": lambda: movie(track(sample_table(MANY)), root=b"free"),
    "index in hoov": lambda: movie(track(sample_table(MANY)), root=b"hoov"),
    **{
        f"in {kind.decode()}": (lambda kind=kind: _inside(kind))
        for kind in (b"dinf", b"wave", b"sinf", b"ilst", b"udta")
    },
    "in meta": lambda: movie(track(box(b"meta", bytes(12), table(b"hdlr", 0, 0, 0, 0, 0), sample_table(MANY)))),
    "in the description": lambda: movie(track(sample_table(MANY, hidden=table(b"stsz", 1, MANY)))),
    "after two million boxes": lambda: movie(track(sample_table(3 * MANY)), before=box(b"skip") * 2_000_001),
    "chunks": lambda: movie(track(sample_table(2**32 - 1, handler=b"soun", chunks=2000), handler=b"soun")),
    "edits": lambda: movie(track(sample_table(5000), edits=4000)),
    "fragment in mdat": _hidden_fragment,
    "fragments of many tracks": _many_fragments,
}


def _overlapping_runs(count: int = 5000) -> bytes:
    """Each ``stsc`` in a description has those after it as its entries."""
    tables = b"".join(struct.pack(">4s4xI", b"stsc", count - number - 1) for number in range(count))
    return movie(track(box(b"stbl", box(b"stsd", tables))))


_FRAGMENTS = struct.pack(">5IHH", 0, 1, 1000, 0, 0, 0, 65_535)


def _overlapping_fragments(count: int = 2000) -> bytes:
    return movie() + box(b"sidx", _FRAGMENTS) * count


def _described_fragments(count: int = 2000) -> bytes:
    return movie(track(box(b"stbl", box(b"stsd", (b"sidx" + _FRAGMENTS) * count))))


# By the tables that share their bytes.
OVERLAPS: dict[str, Callable[[], bytes]] = {
    "runs": _overlapping_runs,
    "fragments": _overlapping_fragments,
    "fragments in the description": _described_fragments,
}
