"""All that a file holds, read by PyAV alone: frames, packets, texts, chapters, metadata, and their times."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Discard, Disposition

MILLISECOND = Fraction(1, 1000)
# Written by each container itself, or true of the old file alone; other spellings of the same.
OWN_KEYS = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "software", "comment"}


@dataclass
class Track:
    """A stream besides the main picture; times in seconds from the first frame of the picture."""

    kind: str
    codec: str
    language: str | None
    title: str | None
    disposition: Disposition
    clock: Fraction
    digests: list[str] = field(default_factory=list)
    times: list[Fraction] = field(default_factory=list)
    lengths: list[Fraction] = field(default_factory=list)
    texts: list[tuple[Fraction, Fraction, str]] = field(default_factory=list)
    heard_from: Fraction | None = None


@dataclass
class Contents:
    """What a file holds; times in seconds from the first frame of the picture."""

    clock: Fraction = Fraction(1)
    size: tuple[int, int] = (0, 0)
    rotation: int = 0
    times: list[Fraction] = field(default_factory=list)
    last_length: Fraction = Fraction(0)
    last_shown: Fraction | None = None
    tracks: list[Track] = field(default_factory=list)
    chapters: list[tuple[Fraction, Fraction, str]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[Track]:
        """The tracks of a kind, in the file's order."""
        return [track for track in self.tracks if track.kind == kind]


def contents(path: Path) -> Contents:
    """Read all of ``path``; places that do not decode are left out."""
    with av.open(f"file:{path}", metadata_errors="surrogateescape") as container:
        streams = [stream for stream in container.streams if stream.discard != Discard.all]
        main = next(s for s in streams if s.type == "video" and not s.disposition & Disposition.attached_pic)
        main.codec_context.thread_type = "AUTO"
        found = Contents(main.time_base, metadata=_told(container.metadata))
        tracks = {stream.index: _track(stream) for stream in streams if stream.index != main.index}
        for packet in _packets(container, [stream for stream in streams if stream.type != "attachment"]):
            if packet.stream.index == main.index:
                _note_frames(found, packet)
            elif packet.size:
                _note_packet(tracks[packet.stream_index], packet)
        found.tracks = list(tracks.values())
        first = found.times[0] if found.times else Fraction(0)
        found.chapters = [
            (each["start"] * each["time_base"], each["end"] * each["time_base"], each["metadata"].get("title", ""))
            for each in container.chapters()
        ]
        if "mov" in container.format.name and main.duration and found.times:
            # Of pictures that are reordered, mp4 tells the step of decoding; when the last one ends, the track tells.
            found.last_shown = ((main.start_time or 0) + main.duration) * found.clock - found.times[-1]
    found.times = [moment - first for moment in found.times]
    for track in found.tracks:
        _move(track, first)
    found.chapters = [(begin - first, end - first, title) for begin, end, title in found.chapters]
    return found


def _told(metadata: dict[str, str]) -> dict[str, str]:
    return {key.casefold(): text for key, text in metadata.items() if key.casefold() not in OWN_KEYS}


def _track(stream: Any) -> Track:
    kind = "cover" if stream.disposition & Disposition.attached_pic else stream.type
    context = stream.codec_context
    name = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    if name is None and "timecode" in stream.metadata:
        name = "timecode"
    language = stream.metadata.get("language")
    title = stream.metadata.get("title") or stream.metadata.get("name")
    track = Track(
        kind,
        name or "?",
        None if language == "und" else language,
        title,
        stream.disposition,
        stream.time_base or MILLISECOND,
    )
    if stream.type == "attachment":
        track.digests.append(hashlib.sha256(stream.data).hexdigest())
    return track


def _packets(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    failures = 0
    while failures < 100:
        try:
            yield from container.demux(streams)
            return
        except av.FFmpegError:
            failures += 1


def _note_frames(found: Contents, packet: Any) -> None:
    try:
        frames = packet.decode()
    except (av.FFmpegError, EOFError):
        return
    for frame in frames:
        if frame.pts is not None:
            if not found.times:
                found.size, found.rotation = (frame.width, frame.height), round(frame.rotation)
            found.times.append(frame.pts * found.clock)
            found.last_length = frame.duration * found.clock


def _note_packet(track: Track, packet: Any) -> None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    moment = (ticks or 0) * packet.time_base
    length = (packet.duration or 0) * packet.time_base
    if track.kind == "audio" and track.heard_from is None:
        try:
            track.heard_from = next((frame.pts * frame.time_base for frame in packet.decode()), None)
        except (av.FFmpegError, EOFError):
            track.heard_from = None
    if track.kind == "subtitle":
        text = _text(packet)
        if text is None:
            return
        track.texts.append((moment, moment + length, text))
    track.digests.append(hashlib.sha256(bytes(packet)).hexdigest())
    track.times.append(moment)
    track.lengths.append(length)


def _text(packet: Any) -> str | None:
    """Without markup; None where nothing is shown, an empty text for pictures."""
    try:
        shown = packet.stream.codec_context.decode2(packet)
    except av.FFmpegError:
        return None
    if shown is None:
        return None
    lines = [rect.ass.split(b",", 8)[-1].decode(errors="replace") for rect in shown if hasattr(rect, "ass")]
    return re.sub(r"\{[^}]*\}", "", "\\N".join(lines)).strip()


def _move(track: Track, first: Fraction) -> None:
    track.times = [moment - first for moment in track.times]
    track.texts = [(begin - first, end - first, text) for begin, end, text in track.texts]
    track.heard_from = None if track.heard_from is None else track.heard_from - first
