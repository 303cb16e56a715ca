"""Subtitles, chapters, attachments and more, put into a clip and read back with PyAV only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from tests.support.media import Audio, Clip, make_clip

ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
MILLISECOND = Fraction(1, 1000)
# The first bytes of a font, and some more to tell it from others; nothing draws with it.
FONT = b"\x00\x01\x00\x00\x00\x0a\x00\x80" + bytes(range(256)) * 5


@dataclass
class Cue:
    """One subtitle; times in seconds, text in ASS markup."""

    begin: Fraction
    end: Fraction
    text: str


@dataclass
class Subtitles:
    """A subtitle track."""

    cues: Sequence[Cue]
    codec: str = "subrip"
    metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = 0


@dataclass
class Extras:
    """What `enrich` adds to a clip; chapters are ``(begin, end, title)``, attachments ``(name, kind, bytes)``."""

    subtitles: Sequence[Subtitles] = ()
    chapters: Sequence[tuple[Fraction, Fraction, str]] = ()
    attachments: Sequence[tuple[str, str, bytes]] = ()
    has_cover: bool = False
    further: Path | None = None  # a clip whose video becomes a further video stream
    data: str | None = None  # codec of a data stream
    video_metadata: dict[str, str] = field(default_factory=dict)


def cues(*texts: str, first: Fraction = Fraction(1, 5), length: Fraction = Fraction(3, 10)) -> list[Cue]:
    """Return a cue for each of ``texts``, with gaps between them."""
    return [
        Cue(first + number * 2 * length, first + (number * 2 + 1) * length, text) for number, text in enumerate(texts)
    ]


def enrich(clip: Path, path: Path, extras: Extras) -> Path:
    """Copy the streams of ``clip`` into ``path``, and add ``extras``."""
    kind = {".mkv": "matroska", ".ts": "mpegts"}.get(path.suffix, path.suffix[1:])
    with av.open(f"file:{clip}") as source, av.open(f"file:{path}", "w", format=kind) as target:
        target.metadata.update(source.metadata)
        copies = {stream.index: _copy(target, stream) for stream in source.streams}
        copies[source.streams.video[0].index].metadata.update(extras.video_metadata)
        items: list[Any] = []
        if extras.further is not None:
            items += _further(target, extras.further)
        items += [packet for subtitles in extras.subtitles for packet in _subtitles(target, subtitles)]
        if extras.has_cover:
            items += _cover(target)
        if extras.data is not None:
            items += _data(target, extras.data)
        for name, mime, payload in extras.attachments:
            target.add_attachment(name, mime, payload)
        target.set_chapters([_chapter(number, *each) for number, each in enumerate(extras.chapters, 1)])
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                items.append(packet)
        for packet in sorted(items, key=_time):
            target.mux(packet)
    return path


def _time(packet: Any) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if ticks is None else ticks * packet.time_base


def _copy(target: Any, stream: Any) -> Any:
    copy = target.add_stream_from_template(stream, opaque=True)
    copy.metadata.update({key: text for key, text in stream.metadata.items() if key in ("language", "title")})
    copy.disposition = stream.disposition
    return copy


def _chapter(number: int, begin: Fraction, end: Fraction, title: str) -> dict[str, Any]:
    ticks = [round(moment / MILLISECOND) for moment in (begin, end)]
    return {"id": number, "start": ticks[0], "end": ticks[1], "time_base": MILLISECOND, "metadata": {"title": title}}


def _further(target: Any, clip: Path) -> list[Any]:
    packets = []
    with av.open(f"file:{clip}") as source:
        copy = _copy(target, source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.duration = packet.pts, packet.dts, packet.duration
                again.time_base, again.is_keyframe, again.stream = packet.time_base, packet.is_keyframe, copy
                packets.append(again)
    return packets


def _subtitles(target: Any, subtitles: Subtitles) -> list[Any]:
    track = target.add_stream(subtitles.codec)
    track.codec_context.subtitle_header = ASS_HEADER
    track.time_base = track.codec_context.time_base = MILLISECOND
    track.metadata.update(subtitles.metadata)
    track.disposition = subtitles.disposition
    packets = []
    for number, cue in enumerate(subtitles.cues):
        event = b"%d,0,Default,,0,0,0,," % number + cue.text.encode()
        packet = track.codec_context.encode_subtitle(SubtitleSet.create(event, 0, 1000))
        packet.pts = packet.dts = round(cue.begin / MILLISECOND)
        packet.duration = round((cue.end - cue.begin) / MILLISECOND)
        packet.time_base, packet.stream = MILLISECOND, track
        packets.append(packet)
    return packets


def _cover(target: Any) -> list[Any]:
    cover = target.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
    cover.disposition = Disposition.attached_pic
    cover.metadata.update({"filename": "cover.jpg", "mimetype": "image/jpeg"})
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 77, np.uint8), "rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    return [*cover.encode(frame), *cover.encode(None)]


def _data(target: Any, codec: str) -> list[Any]:
    track = target.add_data_stream(codec)
    track.time_base = MILLISECOND
    packets = []
    for number in range(5):
        packet = av.Packet(b"DATA%04d" % number)
        packet.pts = packet.dts = number * 200
        packet.duration, packet.time_base, packet.stream = 200, MILLISECOND, track
        packets.append(packet)
    return packets


@dataclass
class Track:
    """A stream of a file; times in seconds."""

    kind: str
    codec: str | None
    metadata: dict[str, str]
    disposition: Disposition
    payloads: list[bytes] = field(default_factory=list)
    times: list[Fraction] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)


@dataclass
class Film:
    """The content of a file; ``tracks`` in its order, without the chapter track of an mp4."""

    tracks: list[Track]
    chapters: list[tuple[Fraction, Fraction, dict[str, str]]]
    attachments: list[tuple[str, str, bytes]]
    metadata: dict[str, str]

    def of(self, kind: str) -> list[Track]:
        """Return the tracks of a kind: video, cover, audio, subtitle, data."""
        return [track for track in self.tracks if track.kind == kind]


def film(path: Path) -> Film:
    """Read ``path``."""
    with av.open(f"file:{path}", metadata_errors="surrogateescape") as source:
        found = Film(
            {},  # type: ignore[arg-type] - becomes a list below
            [
                (each["start"] * each["time_base"], each["end"] * each["time_base"], each["metadata"])
                for each in source.chapters()
            ],
            [
                (s.metadata["filename"], s.metadata["mimetype"], s.data)
                for s in source.streams
                if s.type == "attachment"
            ],
            dict(source.metadata),
        )
        tracks = {stream.index: _track(stream) for stream in source.streams if _is_track(stream)}
        for packet in source.demux([source.streams[index] for index in tracks]):
            if packet.size:
                _note(tracks[packet.stream_index], packet)
        found.tracks = list(tracks.values())
    return found


def _is_track(stream: Any) -> bool:
    return stream.type != "attachment" and stream.discard != av.stream.Discard.all


def _track(stream: Any) -> Track:
    context = stream.codec_context
    codec = stream.name if context is None else context.codec.canonical_name
    kind = "cover" if stream.disposition & Disposition.attached_pic else stream.type
    return Track(kind, codec, dict(stream.metadata), stream.disposition)


def _note(track: Track, packet: Any) -> None:
    begin = _time(packet) if packet.pts is None else packet.pts * packet.time_base
    if track.kind == "subtitle":
        shown = packet.stream.codec_context.decode2(packet)
        lines = [] if shown is None else [rect.ass.split(b",", 8)[-1].decode() for rect in shown]
        if not lines:
            return  # an empty cue in a gap of an mp4
        track.cues.append(Cue(begin, begin + packet.duration * packet.time_base, "\\N".join(lines)))
    track.payloads.append(bytes(packet))
    track.times.append(begin)


CHAPTERS = ((Fraction(0), Fraction(1), "Anfang"), (Fraction(1), Fraction(2), "Ende ☃"))


def make_films(folder: Path) -> Path:
    """Make two films with everything that their containers support in ``folder``: film.mkv, film.mp4."""
    audio = (
        Audio(seconds=Fraction(2), metadata={"language": "eng", "title": "Film"}),
        Audio(seconds=Fraction(2), codec="ac3", hertz=880, metadata={"language": "deu"}),
    )
    clip = make_clip(folder / "clip.mp4", Clip(pts=range(0, 512 * 60, 512), audio=audio, metadata={"title": "Élan"}))
    small = make_clip(folder / "small.mp4", Clip(pts=range(0, 512 * 60, 512), width=32, height=32))
    with av.open(str(make_clip(folder / "cover.mp4", Clip(pts=(0,), has_cover=True)))) as container:
        cover = next(bytes(packet) for packet in container.demux(video=1) if packet.size)
    text = {"language": "deu", "title": "Voll"}
    shown = cues("Guten Tag", "{\\i1}schräg{\\i0}")
    enrich(
        clip,
        folder / "film.mkv",
        Extras(
            subtitles=[Subtitles(shown, "subrip", text, Disposition.default | Disposition.forced)],
            chapters=CHAPTERS,
            attachments=[("Schrift.ttf", "font/ttf", FONT), ("cover.jpg", "image/jpeg", cover)],
            further=small,
        ),
    )
    enrich(
        clip,
        folder / "film.mp4",
        Extras(
            subtitles=[Subtitles(shown, "mov_text", text, Disposition.forced)],
            chapters=CHAPTERS,
            has_cover=True,
            further=small,
            data="bin_data",
        ),
    )
    return folder
