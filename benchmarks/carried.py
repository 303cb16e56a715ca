"""What comes through: every video of a folder through `flowbrush video`, into one container after the other.

    python benchmarks/carried.py FOLDER [--containers mp4 mkv mov webm] [--height 64] [--seconds S] [--table OUT.md]

Source and result are read by PyAV alone and compared: number and times of the frames, the last one's duration, bytes of
all packets that are copied, offsets to the picture, texts and times of subtitles, languages, titles, dispositions,
chapters, metadata. Prints a line a file; exits with 1 where something is not as the plan said.
"""

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Discard, Disposition

# In place of this folder, whose cuda.py would be taken for another by torch.
sys.path[:1] = [str(Path(__file__).resolve().parents[1])]

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig  # noqa: E402
from pipeline.errors import InputError, PipelineError  # noqa: E402
from pipeline.summary import Summary  # noqa: E402

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


def faults(source: Contents, result: Contents, summary: Summary, seconds: Fraction | None) -> Iterator[str]:
    """What is not as it should be, a few words each."""
    yield from _picture_faults(source, result, seconds)
    left = {kind: result.of(kind) for kind in ("audio", "subtitle", "video", "cover", "attachment", "data")}
    right = {kind: source.of(kind) for kind in left}
    for entry in summary.streams:
        kind = str(entry["type"])
        before = right[kind].pop(0)
        if entry["action"] == "drop" or (entry["to"] == "timecode" and not left[kind]):
            continue
        if not left[kind]:
            yield f"{kind} {entry['index']} is not there"
            continue
        for fault in _track_faults(before, left[kind].pop(0), entry, source, result, seconds):
            yield f"{kind} {entry['index']}: {fault}"
    yield from (f"an unplanned {kind}" for kind, tracks in left.items() for _ in tracks)
    if seconds is None:
        yield from _chapter_faults(source, result)
    said = " ".join(summary.notices)
    for key, text in source.metadata.items():
        if result.metadata.get(key) != text and key not in said and not _is_same(key, text, result.metadata):
            yield f"metadata {key!r}: {text!r} became {result.metadata.get(key)!r}"


def _is_same(key: str, text: str, metadata: dict[str, str]) -> bool:
    """Containers write places and dates with more or fewer digits."""
    return key.startswith(("creation", "location", "date", "timecode")) and any(key[:8] in other for other in metadata)


def frame_faults(source: Contents, result: Contents, seconds: Fraction | None = None) -> Iterator[str]:
    """What is wrong with the number and the times of the frames; times may differ by a tick of the coarser clock."""
    expected = source.times if seconds is None else source.times[: len(result.times)]
    if len(expected) != len(result.times):
        yield f"{len(expected)} frames became {len(result.times)}"
        return
    error = max((abs(a - b) for a, b in zip(expected, result.times, strict=True)), default=Fraction(0))
    tick = max(source.clock, result.clock)
    if error > (tick if source.clock != result.clock else 0):
        yield f"frames up to {float(error) * 1000:.3f} ms off"


def _picture_faults(source: Contents, result: Contents, seconds: Fraction | None) -> Iterator[str]:
    yield from frame_faults(source, result, seconds)
    tick = max(source.clock, result.clock)
    last = result.last_length if result.last_shown is None else result.last_shown
    told = [each for each in (source.last_length, source.last_shown) if each]  # its header may contradict its packets
    is_whole = seconds is None and len(source.times) == len(result.times)
    if is_whole and told and min(abs(each - last) for each in told) > tick:
        lengths = [f"{float(each) * 1000:.3f}" for each in (told[0], last)]
        yield f"the last frame's {lengths[0]} ms became {lengths[1]} ms"


def _track_faults(
    before: Track, after: Track, entry: Any, source: Contents, result: Contents, seconds: Fraction | None
) -> Iterator[str]:
    if (before.language, before.title) != (after.language, after.title) and not _is_apple(before, after):
        yield f"{before.language}, {before.title!r} became {after.language}, {after.title!r}"
    is_default = before.disposition | Disposition.default == after.disposition  # of the first track, where none was
    if before.disposition != after.disposition and not (is_default and not any(t.disposition for t in source.tracks)):
        yield f"{before.disposition!s} became {after.disposition!s}"
    tick = max(before.clock, after.clock, source.clock, result.clock)
    if entry["action"] == "copy":
        shared = len(after.digests) if seconds is not None else max(len(before.digests), len(after.digests))
        if not _is_adts(before, after) and before.digests[:shared] != after.digests[:shared]:
            yield f"{len(before.digests)} packets became {len(after.digests)}, not the same bytes"
        if before.kind in ("cover", "attachment"):
            return
        pairs = list(zip(before.times, after.times, strict=False))
        error = max((abs(a - b) for a, b in pairs), default=Fraction(0))
        if error > max(tick, MILLISECOND if result.clock == MILLISECOND else tick):
            yield f"packets up to {float(error) * 1000:.3f} ms off"
    elif before.kind == "audio" and before.heard_from is not None and after.heard_from is not None:
        allowed = max(before.lengths[:1] + after.lengths[:1] + [Fraction(25, 1000)])
        if abs(before.heard_from - after.heard_from) > allowed:
            yield f"moved by {float(after.heard_from - before.heard_from) * 1000:.1f} ms"
    elif before.kind == "subtitle" and seconds is None:
        yield from _text_faults(before, after)


def _is_adts(before: Track, after: Track) -> bool:
    """A transport stream has a head before each AAC packet, for which other containers have no place."""
    return before.codec == after.codec == "aac" and len(before.digests) == len(after.digests)


def _is_apple(before: Track, after: Track) -> bool:
    """Whether only the language's name is another; mov knows few."""
    return before.title == after.title and after.language in (None, "ger", "dut", "sve", "gre", "ice", "chi")


def _text_faults(before: Track, after: Track) -> Iterator[str]:
    old, new = ([each for each in track.texts if each[2]] for track in (before, after))
    if [text for *_, text in old] != [text for *_, text in new]:
        yield f"{len(old)} texts became {len(new)} others"
        return
    error = max(
        (abs(a - b) for x, y in zip(old, new, strict=True) for a, b in zip(x[:2], y[:2], strict=True)), default=0
    )
    if error > 2 * MILLISECOND:
        yield f"texts up to {float(error) * 1000:.3f} ms off"


def _chapter_faults(source: Contents, result: Contents) -> Iterator[str]:
    same = [title for *_, title in source.chapters] == [title for *_, title in result.chapters] and all(
        abs(a - b) <= 2 * MILLISECOND
        for x, y in zip(source.chapters, result.chapters, strict=False)
        for a, b in zip(x[:2], y[:2], strict=True)
    )
    if not same:
        yield f"{len(source.chapters)} chapters became {len(result.chapters)}, not the same"


@dataclass
class Row:
    """One file in one container."""

    name: str
    frames: str
    copied: list[str] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For a table in Markdown."""
        cells = [self.copied, self.converted, self.dropped, self.said, self.wrong]
        texts = ["; ".join(cell).replace("|", "/") or "-" for cell in cells]
        return f"| {self.name} | {self.frames} | {' | '.join(texts)} |"


def run(path: Path, target: Path, height: int, seconds: Fraction | None) -> Row:
    """Paint ``path`` into ``target``, and compare."""
    from pipeline.run import stylize_video

    config = VideoConfig(
        source=str(path),
        target=str(target),
        stylize=StylizeConfig(style="great-wave", engine="eager", stability="none"),
        decode=DecodeConfig(height=height, duration_seconds=seconds),
        encode=EncodeConfig(overwrite=True),
    )
    try:
        summary = stylize_video(config)
    except InputError as error:
        return Row(path.name, "refused", said=[str(error).replace(str(path.parent) + "/", "")])
    except PipelineError as error:
        return Row(path.name, "failed", wrong=[str(error).replace(str(path.parent) + "/", "")])
    source, result = contents(path), contents(target)
    row = Row(path.name, str(summary.frames), wrong=list(faults(source, result, summary, seconds)))
    for entry in summary.streams:
        name = f"{entry['type']} {entry['index']} ({entry['codec'] or 'unknown'})"
        if entry["action"] == "drop":
            row.dropped.append(f"{name}: {entry['reason']}")
        elif entry["action"] == "convert":
            row.converted.append(f"{name} to {entry['to']}")
        else:
            row.copied.append(name)
    row.copied += [f"{len(result.chapters)} chapters"] if result.chapters else []
    row.copied += [f"{len(result.metadata)} tags"] if source.metadata else []
    row.said = [line for line in summary.notices if " stream " not in line and "cover image" not in line]
    return row


HEAD = "| file | frames | copied | converted | dropped | said besides | wrong |\n|---|---|---|---|---|---|---|"


def document(tables: dict[str, list[Row]], height: int, seconds: Fraction | None) -> str:
    """The rows as a page in Markdown."""
    part = "" if seconds is None else f" --seconds {float(seconds):g}"
    page = [
        "# What comes through",
        "",
        f"Made by `python benchmarks/carried.py FOLDER --containers {' '.join(tables)} --height {height}{part}`:",
        "every video of a folder is painted into each container, source and result are read with PyAV alone and",
        "compared: number and times of the frames (to a tick of the coarser clock), the last one's duration, bytes of",
        "copied packets, offsets to the picture, subtitles, languages, titles, dispositions, chapters, metadata.",
        "`wrong` is what is not as it should be.",
    ]
    for container, rows in tables.items():
        wrong = sum(bool(row.wrong) for row in rows)
        page += ["", f"## {container}", "", f"{len(rows) - wrong} of {len(rows)} files as they should be.", "", HEAD]
        page += [row.line() for row in rows]
    return "\n".join(page) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--containers", nargs="+", default=["mp4", "mkv", "mov", "webm"], metavar="ENDING")
    parser.add_argument("--height", type=int, default=64, help="of the results in pixels")
    parser.add_argument("--seconds", type=Fraction, help="paint only so much of each")
    parser.add_argument("--only", default="", metavar="TEXT", help="files whose names hold this")
    parser.add_argument("--table", type=Path, metavar="OUT.md", help="write the tables here")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.iterdir() if path.is_file() and arguments.only in path.name)
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for container in arguments.containers:
            tables[container] = []
            for path in files:
                begun = time.perf_counter()
                row = run(path, Path(temporary) / f"out.{container}", arguments.height, arguments.seconds)
                tables[container].append(row)
                state = "WRONG" if row.wrong else "ok   "
                told = "; ".join(row.wrong or row.said[:1])
                print(
                    f"{state} {container} {row.name} {row.frames} {time.perf_counter() - begun:.1f} s {told}",
                    flush=True,
                )
            if arguments.table:
                arguments.table.write_text(document(tables, arguments.height, arguments.seconds), encoding="utf-8")
    return int(any(row.wrong for rows in tables.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
