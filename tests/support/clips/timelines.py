"""Clips whose clocks restart, jump or start before zero, as recorders and joiners of transport streams leave them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from tests.support.media import Audio, Clip, make_clip

TICKS = Fraction(1, 90_000)
# A clip with few key frames needs B-frames too: their dts and pts differ.
OPTIONS = {"crf": "12", "preset": "ultrafast", "bf": "2", "g": "10"}
# Ten frames, and no audio frame more than they last.
FRAMES = 10
# A transport stream counts 33 bits of ticks.
WRAP = 2**33 * TICKS


def stream(
    path: Path,
    start_seconds: Fraction | int = 0,
    *,
    count: int = FRAMES,
    rate: int = 48_000,
    audio: Audio | None = None,
) -> Path:
    """Write ``count`` frames at 30 a second, with AAC as long or ``audio``; its clock starts at ``start_seconds``."""
    first = int(start_seconds / TICKS)
    usual = Audio(codec="mp2" if path.suffix == ".mpg" else "aac", seconds=Fraction(count, 30), rate=rate)
    audio = replace(audio or usual, start_seconds=Fraction(start_seconds))
    form = {".mpg": "mpeg"}.get(path.suffix)
    codec, options = ("mpeg1video", {"g": "10"}) if form else ("libx264", OPTIONS)
    pts = range(first, first + count * 3000, 3000)
    clip = Clip(pts=pts, time_base=TICKS if form is None else Fraction(1, 30), codec=codec, options=options)
    if form:
        clip.pts = range(first // 3000, first // 3000 + count)
    clip.audio = [audio]
    return make_clip(path, clip, form=form)


def joined(path: Path, *starts: Fraction | int, count: int = FRAMES, audio: Audio | None = None) -> Path:
    """Write clips whose clocks start at ``starts``, one after another, into one file."""
    parts = [
        stream(path.with_stem(f"part{number}"), start, count=count, audio=audio) for number, start in enumerate(starts)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return path


def set_clock(path: Path, number: int, seconds: Fraction | int) -> None:
    """Overwrite the times of one video packet of a transport stream."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data, place = bytearray(path.read_bytes()), packets[number].pos or 0
    header = data.index(b"\x00\x00\x01\xe0", place) + 9
    both, ticks = data[header - 2] >> 6 == 3, int(seconds / TICKS)
    for field, mark in ((header, 3 if both else 2), *(((header + 5, 1),) if both else ())):
        data[field : field + 5] = bytes(
            (mark << 4 | ticks >> 29 & 0xE | 1, ticks >> 22 & 0xFF, ticks >> 14 & 0xFE | 1)
        ) + bytes((ticks >> 7 & 0xFF, ticks << 1 & 0xFE | 1))
    path.write_bytes(data)
