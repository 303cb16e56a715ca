"""Text subtitles from one form into another: text, times and simple markup stay, places and fonts may be lost."""

import re
from fractions import Fraction
from typing import NamedTuple, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import codec_name

# FFmpeg hands all text subtitles on as events of an ASS script, whose head the encoder has to know.
_ASS_HEADER = b"""[Script Info]
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
# FFmpeg's mp4 muxer ends a cue when a packet of any stream has a larger number, whatever the unit: on a clock coarser
# than the others' a cue would be ended at once, and the next one, where it begins before that end, put off. Much finer
# than this, and a silence of an hour would not fit into the 31 bits that one sample can last.
CLOCK = Fraction(1, 180_000)
# Their packets are the text itself, in whatever encoding somebody wrote it.
_PLAIN_TEXT = ("subrip", "text")
# A shape drawn by an ASS script, from the tag that begins it to the one that ends it: no text.
_DRAWING = re.compile(rb"(\{[^}]*\\p[1-9][^}]*\})[^{]*")


class Cue(NamedTuple):
    """A text and when it is shown, in seconds."""

    begin: Fraction
    end: Fraction
    text: bytes


class Overlaps:
    r"""Turns cues that are shown at the same time into ones that follow each other; mp4 shows one at a time.

    What is shown together stands in lines below each other, the earliest first.
    """

    def __init__(self) -> None:
        self._shown: list[Cue] = []
        self._after = Fraction(0)

    def add(self, cue: Cue) -> list[Cue]:
        """What is to be written now that ``cue`` is known; cues come in the order of their beginnings.

        A cue is written at once, to its end, and cut short by the next one in the file, where a newer begins before.
        """
        written = self._until(cue.begin)
        self._shown = [*(old for old in self._shown if old.end > cue.begin), cue]
        self._after = max(min(old.end for old in self._shown), cue.begin)
        return [*written, Cue(cue.begin, self._after, _below(self._shown))]

    def rest(self) -> list[Cue]:
        """What is still shown when others have ended."""
        return self._until(None)

    def _until(self, end: Fraction | None) -> list[Cue]:
        written = []
        left = [old for old in self._shown if old.end > self._after]
        while left and (end is None or self._after < end):
            begin, self._after = self._after, min(old.end for old in left)
            written.append(Cue(begin, self._after, _below(left)))
            left = [old for old in left if old.end > self._after]
        return written


def _below(cues: list[Cue]) -> bytes:
    return rb"\N".join(cue.text for cue in cues)


class SubtitleConverter:
    """Text subtitles of ``source`` encoded anew; see `pipeline.encode.stream_copy.Converter`.

    Raises:
        ValueError: the container does not hold such subtitles.
        av.FFmpegError: the encoder cannot be opened.
    """

    def __init__(self, output: OutputContainer, source: Stream, encoder: str) -> None:
        stream = cast(SubtitleStream, output.add_stream(encoder))
        stream.time_base = stream.codec_context.time_base = CLOCK
        stream.codec_context.subtitle_header = _ASS_HEADER
        self.stream: Stream = stream
        self._context = stream.codec_context
        self._overlaps = Overlaps() if encoder == "mov_text" else None
        self._number = 0

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        """What is shown for ``packet``; nothing where it is empty, as mp4 fills its gaps, or cannot be read."""
        text = _text(packet)
        time = packet.pts if packet.pts is not None else packet.dts
        if not text.strip() or time is None:
            return []
        begin = time * packet.time_base
        cue = Cue(begin, begin + (packet.duration or 0) * packet.time_base, text)
        return [self._encoded(each) for each in ([cue] if self._overlaps is None else self._overlaps.add(cue))]

    def flush(self) -> list[StreamPacket]:
        """What is shown longer than what began after it."""
        return [] if self._overlaps is None else [self._encoded(cue) for cue in self._overlaps.rest()]

    def _encoded(self, cue: Cue) -> StreamPacket:
        pts, length = round(cue.begin / CLOCK), round(cue.end / CLOCK) - round(cue.begin / CLOCK)
        event = b"%d,0,Default,,0,0,0,," % self._number + cue.text
        self._number += 1
        packet = self._context.encode_subtitle(SubtitleSet.create(event, 0, max(length, 0)))
        packet.time_base, packet.pts, packet.dts, packet.duration = CLOCK, pts, pts, max(length, 0)
        return packet


def _text(packet: StreamPacket) -> bytes:
    r"""In ASS markup, lines parted by ``\N``; empty where there is none."""
    try:
        cue = cast(SubtitleStream, packet.stream).codec_context.decode2(_in_utf_8(packet))
    except (av.FFmpegError, UnicodeDecodeError):
        return b""
    lines = [] if cue is None else [rect.ass.split(b",", 8)[-1] for rect in cue if isinstance(rect, AssSubtitle)]
    return _DRAWING.sub(rb"\1", rb"\N".join(lines))


def _in_utf_8(packet: StreamPacket) -> StreamPacket:
    """FFmpeg refuses other text; what is none is taken for Windows-1252, as old files of Western Europe are."""
    if codec_name(packet.stream) not in _PLAIN_TEXT:
        return packet
    payload = bytes(packet)
    try:
        payload.decode()
    except UnicodeDecodeError:
        text: StreamPacket = Packet(payload.decode("cp1252", "replace").encode())
        text.stream, text.time_base = packet.stream, packet.time_base
        text.pts, text.dts, text.duration = packet.pts, packet.dts, packet.duration
        return text
    return packet
