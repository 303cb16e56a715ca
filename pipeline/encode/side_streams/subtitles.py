"""Conversion of text subtitles: text, times and simple markup are kept, positions and fonts may be lost."""

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

# FFmpeg passes all text subtitles on as events of an ASS script, whose header the encoder needs.
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
# FFmpeg's mp4 muxer ends a cue as soon as a packet of any stream has a larger number, whatever its unit: on a clock
# coarser than the others' a cue would end at once, and the next one would be delayed. On a clock much finer than this,
# an hour without cues would not fit into the 31 bits of a sample's duration.
CLOCK = Fraction(1, 180_000)
# FFmpeg counts the length of a cue in 32 bits beside its packet, which has the true one.
_LONGEST_TICKS = 2**32 - 1
# Codecs whose packets are plain text, in whatever encoding it was written.
_PLAIN_TEXT = ("subrip", "text")
# Shapes drawn by an ASS script, from the tag that starts a drawing to the tag that ends it.
_DRAWING = re.compile(rb"(\{[^}]*\\p[1-9][^}]*\})[^{]*")


class Cue(NamedTuple):
    """A text, and when it is shown, in seconds."""

    start: Fraction
    end: Fraction
    text: bytes


class OverlapSplitter:
    """Turns cues that overlap into cues that follow each other: mp4 shows one at a time.

    Cues shown at the same time are joined as lines, the earliest first.
    """

    def __init__(self) -> None:
        self._shown: list[Cue] = []
        self._written_until = Fraction(0)

    def add(self, cue: Cue) -> list[Cue]:
        """Return what to write now that ``cue`` is known; cues come in the order of their starts.

        A cue is written at once, up to its end; in the file, the next one cuts it short if it starts earlier.
        """
        ready = self._until(cue.start)
        self._shown = [*(old for old in self._shown if old.end > cue.start), cue]
        self._written_until = max(min(old.end for old in self._shown), cue.start)
        return [*ready, Cue(cue.start, self._written_until, _joined(self._shown))]

    def rest(self) -> list[Cue]:
        """Return what is still shown after the last cue that was written."""
        return self._until(None)

    def _until(self, end: Fraction | None) -> list[Cue]:
        ready = []
        left = [old for old in self._shown if old.end > self._written_until]
        while left and (end is None or self._written_until < end):
            start, self._written_until = self._written_until, min(old.end for old in left)
            ready.append(Cue(start, self._written_until, _joined(left)))
            left = [old for old in left if old.end > self._written_until]
        return ready


def _joined(cues: list[Cue]) -> bytes:
    return rb"\N".join(cue.text for cue in cues)


class SubtitleConverter:
    """Encodes text subtitles of ``source`` with another codec; ``stream`` is that of the output.

    Raises:
        ValueError: the container does not support such subtitles.
        av.FFmpegError: the encoder cannot be opened.
    """

    def __init__(self, output: OutputContainer, source: Stream, encoder: str) -> None:
        stream = cast(SubtitleStream, output.add_stream(encoder))
        stream.time_base = stream.codec_context.time_base = CLOCK
        stream.codec_context.subtitle_header = _ASS_HEADER
        self.stream: Stream = stream
        self._context = stream.codec_context
        self._overlaps = OverlapSplitter() if encoder == "mov_text" else None
        self._number = 0

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        """Return the packets for ``packet``; none if it is empty, as in the gaps of an mp4, or cannot be decoded."""
        text = _text(packet)
        time = packet.pts if packet.pts is not None else packet.dts
        if not text.strip() or time is None:
            return []
        start = time * packet.time_base
        cue = Cue(start, start + (packet.duration or 0) * packet.time_base, text)
        return [self._encoded(each) for each in ([cue] if self._overlaps is None else self._overlaps.add(cue))]

    def flush(self) -> list[StreamPacket]:
        """Return the packets of what is still shown after the last cue."""
        return [] if self._overlaps is None else [self._encoded(cue) for cue in self._overlaps.rest()]

    def _encoded(self, cue: Cue) -> StreamPacket:
        pts, length = round(cue.start / CLOCK), round(cue.end / CLOCK) - round(cue.start / CLOCK)
        event = b"%d,0,Default,,0,0,0,," % self._number + cue.text
        self._number += 1
        packet = self._context.encode_subtitle(SubtitleSet.create(event, 0, min(max(length, 0), _LONGEST_TICKS)))
        packet.time_base, packet.pts, packet.dts, packet.duration = CLOCK, pts, pts, max(length, 0)
        return packet


def _text(packet: StreamPacket) -> bytes:
    r"""Return the text in ASS markup, its lines separated by ``\N``; empty if there is none."""
    try:
        cue = cast(SubtitleStream, packet.stream).codec_context.decode2(_as_utf_8(packet))
    except (av.FFmpegError, UnicodeDecodeError):
        return b""
    lines = [] if cue is None else [rect.ass.split(b",", 8)[-1] for rect in cue if isinstance(rect, AssSubtitle)]
    return _DRAWING.sub(rb"\1", rb"\N".join(lines))


def _as_utf_8(packet: StreamPacket) -> StreamPacket:
    """Return the packet in UTF-8, which FFmpeg requires; other text is read as Windows-1252."""
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
