"""Clips whose clock jumps, wraps, starts early or late, whose edit list hides a part, or whose codec changes."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from tests.support.fuzz.oracle import Played, play
from tests.support.fuzz.recordings import Cues, Recording, Sound, Truth, record

# After so long a transport stream's clock of 33 bits at 90 kHz starts again.
WRAP_SECONDS = Fraction(2**33, 90000)
STEPS = (Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 50), Fraction(1, 12))
JUMPS_SECONDS = (Fraction(3, 2), 20, 600, 24_000, 26_000, 80_000)


@dataclass(frozen=True)
class Form:
    """A container that timelines are written in.

    Attributes:
        name: FFmpeg's name.
        suffix: of the file.
        videos: codecs of its video, FFmpeg's encoders.
        sounds: codecs of its audio.
        can_join: whether files can be joined byte by byte.
    """

    name: str
    suffix: str
    videos: tuple[str, ...]
    sounds: tuple[str, ...]
    can_join: bool = False


FORMS = (
    Form("mpegts", ".ts", ("libx264", "libx264", "mpeg2video", "libx265"), ("aac", "aac", "mp2", "ac3"), True),
    Form("mpeg", ".mpg", ("mpeg2video",), ("mp2", "ac3"), True),
    Form("flv", ".flv", ("libx264",), ("aac", "libmp3lame")),
    Form("matroska", ".mkv", ("libx264", "mpeg4", "libvpx"), ("aac", "ac3", "libopus", "flac", "libmp3lame")),
    Form("mp4", ".mp4", ("libx264", "mpeg4"), ("aac", "ac3", "libopus")),
    Form("mov", ".mov", ("libx264", "mpeg4"), ("aac", "pcm_s16le")),
    Form("avi", ".avi", ("mpeg4",), ("libmp3lame", "ac3")),
    Form("nut", ".nut", ("libx264",), ("aac", "libmp3lame")),
)
TS = FORMS[0]
QUICKTIME = FORMS[4:6]


@dataclass(frozen=True)
class Timeline:
    """A clip that was made, and what it shows.

    Attributes:
        path: of the clip.
        truth: what it shows; None if only a player can tell, as for an edit list.
        is_changing: whether codec, frame size or sample rate change, which a run may refuse.
        words: what it is, for the report of a finding.
    """

    path: Path
    truth: Truth | None
    words: str
    is_changing: bool = False

    def shown(self) -> Played:
        """Return what a player shows of the clip."""
        return play(self.path)


def make_timeline(chance: random.Random, folder: Path) -> Timeline:
    """Make a clip in ``folder``; all about it follows from ``chance``."""
    return chance.choice(_MAKERS)(chance, folder)


def _recording(chance: random.Random, form: Form, **changes: object) -> Recording:
    sounds = tuple(
        Sound(
            chance.choice(form.sounds),
            rate=chance.choice((48000, 48000, 44100, 32000)) if form.sounds != ("libopus",) else 48000,
            layout=chance.choice(("stereo", "mono")),
        )
        for _ in range(chance.choice((0, 1, 1, 1, 2)) if form.name not in ("flv", "avi") else 1)
    )
    sounds = tuple(replace(sound, rate=48000) if sound.codec == "libopus" else sound for sound in sounds)
    if form.name == "flv":
        sounds = tuple(replace(sound, rate=44100) for sound in sounds)
    made = Recording(
        frames=chance.choice((12, 16, 20)),
        step=chance.choice(STEPS[:2] if form.name == "mpeg" else STEPS),
        codec=chance.choice(form.videos),
        sounds=sounds,
        seed=chance.randrange(2**16),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _following(chance: random.Random, before: Recording, start: Fraction) -> Recording:
    return replace(before, first=before.first + before.frames, start=start, seed=chance.randrange(2**16))


def _joined(chance: random.Random, folder: Path) -> Timeline:
    """Two or three recordings in one file, each with a clock of its own."""
    form = chance.choice([form for form in FORMS if form.can_join])
    is_changing = chance.random() < 0.4
    each = _recording(chance, form, start=Fraction(chance.choice((0, 1, 50, 3600, 70_000))))
    pieces = [each]
    for _ in range(chance.choice((1, 1, 2))):
        each = _following(chance, each, Fraction(chance.choice((0, 0, 1, 50, 3600, 24_500))))
        pieces.append(_changed(chance, form, each) if is_changing else each)
    truth, data = Truth(), bytearray()
    for piece in pieces:
        part = folder / f"part{form.suffix}"
        record(part, [piece], form=form.name, truth=truth)
        data += part.read_bytes()
        part.unlink()
    if form.name == "mpeg":  # FFmpeg gives the last frame of each the clock of the next
        truth.loose = {piece.first + piece.frames - 1 for piece in pieces}
    else:  # the parser of another codec joins the last packet before it to the first frame, which gets its time
        truth.loose = {after.first for before, after in pairwise(pieces) if before.codec != after.codec}
    path = folder / f"in{form.suffix}"
    path.write_bytes(data)
    words = f"{form.name} joined from starts {[float(piece.start) for piece in pieces]} s"
    return Timeline(path, truth, words + (", changing" if is_changing else ""), is_changing)


def _changed(chance: random.Random, form: Form, piece: Recording) -> Recording:
    """Return ``piece`` with another codec, frame size, sample rate or layout."""
    what = chance.randrange(4)
    if what == 0:
        return replace(piece, width=96, height=64)
    if what == 1:
        return replace(piece, codec=chance.choice(form.videos))
    rate, layout = (chance.choice((48000, 44100, 22050)), None) if what == 2 else (None, "mono")
    if form.name == "mpeg" or any(sound.codec in ("ac3", "mp2") for sound in piece.sounds):
        rate = rate and 32000
    sounds = tuple(replace(s, rate=rate or s.rate, layout=layout or s.layout) for s in piece.sounds)
    return replace(piece, sounds=sounds)


def _jumping(chance: random.Random, folder: Path) -> Timeline:
    """Recordings on one clock, which jumps forward between them."""
    form = chance.choice([form for form in FORMS if form.name not in ("avi", "mpeg")])
    first = _recording(chance, form, start=Fraction(chance.choice((0, 1, 100))))
    if any(sound.codec.startswith("pcm") for sound in first.sounds):  # mov has no time for a sample in the middle
        first = replace(first, sounds=())
    # In mp4, a longer step does not fit into the 31 bits that FFmpeg reads.
    jump = Fraction(chance.choice(JUMPS_SECONDS[:4] if form in QUICKTIME else JUMPS_SECONDS))
    second = _following(chance, first, first.start + first.seconds + jump)
    path = folder / f"in{form.suffix}"
    truth = record(path, [first, second], form=form.name)
    return Timeline(path, truth, f"{form.name} with a jump of {float(jump)} s")


def _wrapping(chance: random.Random, folder: Path) -> Timeline:
    """A transport stream whose clock starts again somewhere near the start, or in the middle."""
    before = Fraction(chance.choice((0, 1, 20, 30, 80, 400, 900)), 1000)
    form = TS
    piece = _recording(chance, form, start=WRAP_SECONDS - before)
    path = folder / "in.ts"
    truth = record(path, [piece], form="mpegts", options={"mpegts_copyts": "1"} if chance.random() < 0.5 else {})
    return Timeline(path, truth, f"mpegts whose clock wraps after {float(before):.3f} s")


def _late(chance: random.Random, folder: Path) -> Timeline:
    """A clip that starts late, with audio that starts before or after the frames, and perhaps subtitles."""
    form = chance.choice([form for form in FORMS if form.name != "avi"])
    start = Fraction(chance.choice((0, 1, 5000, 90_000))) + Fraction(chance.choice((0, 143)), 1000)
    piece = _recording(chance, form, start=start)
    delays = (Fraction(0), Fraction(1, 50), Fraction(2, 5), Fraction(3), Fraction(-1, 5) if start else Fraction(0))
    piece = replace(piece, sounds=tuple(replace(sound, delay=chance.choice(delays)) for sound in piece.sounds))
    cues: Cues = ()
    if form.name in ("matroska", "mp4", "mov"):
        end = Fraction(3, 10) + chance.choice((Fraction(1, 5), Fraction(3), Fraction(25_000)))
        if form.name == "matroska" and chance.random() < 0.1:
            end = Fraction(10**7)
        cues = (("one", Fraction(1, 10), Fraction(1, 5)), ("two", Fraction(3, 10), end))
    path = folder / f"in{form.suffix}"
    truth = record(path, [piece], form=form.name, cues=cues)
    if cues and cues[1][2] > 3600:  # a cue of hours may be dropped or shortened
        truth.cues = {}
    waits = [float(sound.delay) for sound in piece.sounds]
    return Timeline(path, truth, f"{form.name} from {float(start):.3f} s, audio after {waits} s")


def _before_zero(chance: random.Random, folder: Path) -> Timeline:
    """A clip that starts before 0 on its clock: in mp4 and mov, an edit list hides that part."""
    form = chance.choice((*QUICKTIME, *QUICKTIME, FORMS[3]))
    piece = _recording(chance, form, start=-Fraction(chance.choice((20, 40, 120, 300)), 1000))
    path = folder / f"in{form.suffix}"
    record(path, [piece], form=form.name, options={"avoid_negative_ts": "disabled"})
    return Timeline(path, None, f"{form.name} from {float(piece.start):.3f} s")


def _edited(chance: random.Random, folder: Path) -> Timeline:
    """An mp4 or mov with another edit list in one or all tracks: a late start, hidden parts, an early end, a gap."""
    form = chance.choice(QUICKTIME)
    piece = _recording(chance, form)
    path = folder / f"in{form.suffix}"
    record(path, [piece], form=form.name)
    data, number = path.read_bytes(), 0
    all_tracks = chance.random() < 0.5
    edits = _edits(chance)
    while (place := _find_box(data, b"elst", number)) is not None:
        if number == 0 or all_tracks:
            data = _with_edits(data, place, edits)
        number += 1
    path.write_bytes(data)
    return Timeline(path, None, f"{form.name} with edits {edits}")


def _edits(chance: random.Random) -> list[tuple[float, float]]:
    """Return edits: duration and start of what is shown, in seconds; a start of -1 shows nothing."""
    part = chance.choice((0.04, 0.1, 0.2, 0.35))
    return chance.choice(
        [
            [(10.0, part)],  # hides the start
            [(part, -1), (10.0, 0.0)],  # waits
            [(part, 0.0)],  # hides the end
            [(part, 0.1)],
            [(part, 0.0), (10.0, part + 0.2)],  # hides the middle
            [(part, -1), (10.0, part)],
            [(part, 0.0), (part, 0.0)],  # shows the start twice
            [(0.0, 0.0)],
            [(10.0, 1000.0)],
        ]
    )


def _find_box(data: bytes, name: bytes, number: int) -> int | None:
    place = -1
    for _ in range(number + 1):
        place = data.find(name, place + 1)
        if place < 0:
            return None
    return place - 4


def _with_edits(data: bytes, place: int, edits: list[tuple[float, float]]) -> bytes:
    """Return an mp4 whose box at ``place`` has other edits; its index is at its end, so no offset changes."""
    movie = data.rfind(b"mvhd", 0, place)
    movie_rate = struct.unpack(">I", data[movie + 16 : movie + 20])[0]
    media = data.find(b"mdhd", place)
    media_rate = struct.unpack(">I", data[media + 16 : media + 20])[0]
    entries = b"".join(
        struct.pack(">Iihh", round(length * movie_rate), -1 if start < 0 else round(start * media_rate), 1, 0)
        for length, start in edits
    )
    box = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    old = struct.unpack(">I", data[place : place + 4])[0]
    changed = bytearray(data[:place] + box + data[place + old :])
    for name in (b"edts", b"trak", b"moov"):
        outer = data.rfind(name, 0, place) - 4
        size = struct.unpack(">I", changed[outer : outer + 4])[0]
        changed[outer : outer + 4] = struct.pack(">I", size + len(box) - old)
    return bytes(changed)


def make_claim(chance: random.Random, folder: Path) -> Timeline:
    """A healthy clip whose header claims another duration, or has pixels of an odd shape."""
    form = chance.choice((FORMS[3], FORMS[3], FORMS[4], FORMS[5]))
    aspect = chance.choice((None, Fraction(32767), Fraction(1, 32767), Fraction(16, 11)))
    piece = _recording(chance, form, aspect=aspect)
    path = folder / f"in{form.suffix}"
    truth = record(path, [piece], form=form.name)
    claim = chance.choice((0, 1, 2**31, 2**40, 2**52))
    data = bytearray(path.read_bytes())
    if form.name == "matroska":
        place = data.find(b"\x44\x89\x88")
        data[place + 3 : place + 11] = struct.pack(">d", float(claim))
    else:
        for name, offset in ((b"mvhd", 20), (b"mdhd", 20)):
            place = data.find(name)
            data[place + offset : place + offset + 4] = struct.pack(">I", claim % 2**32)
    path.write_bytes(data)
    return Timeline(path, truth, f"{form.name} that claims {claim} ticks, pixels of {aspect}")


def _tiny(chance: random.Random, folder: Path) -> Timeline:
    """A clip of a few pixels."""
    width, height = chance.choice(((1, 64), (64, 1), (1, 1), (2, 3), (17, 2), (16, 200)))
    piece = _recording(chance, FORMS[3], codec="libx264", width=width, height=height)
    path = folder / "in.mkv"
    record(path, [piece], form="matroska")
    return Timeline(path, None, f"matroska of {width}x{height} pixels")


_MAKERS: tuple[Callable[[random.Random, Path], Timeline], ...] = (
    _joined,
    _joined,
    _joined,
    _jumping,
    _jumping,
    _wrapping,
    _late,
    _before_zero,
    _edited,
    make_claim,
    _tiny,
)
