"""Text subtitles from one form into another: text, times and simple markup stay, places and fonts may be lost."""

import re
from fractions import Fraction
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

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
_CLOCK = Fraction(1, 1000)
# A shape drawn by an ASS script, from the tag that begins it to the one that ends it: no text.
_DRAWING = re.compile(rb"(\{[^}]*\\p[1-9][^}]*\})[^{]*")


class SubtitleConverter:
    """Text subtitles of ``source`` encoded anew; see `pipeline.tracks.Converter`.

    Raises:
        ValueError: the container does not hold such subtitles.
        av.FFmpegError: the encoder cannot be opened.
    """

    def __init__(self, output: OutputContainer, source: Stream, encoder: str) -> None:
        stream = cast(SubtitleStream, output.add_stream(encoder))
        stream.time_base = stream.codec_context.time_base = _CLOCK
        stream.codec_context.subtitle_header = _ASS_HEADER
        self.stream: Stream = stream
        self._context = stream.codec_context
        self._number = 0

    def packets(self, packet: "Packet[Stream]") -> list["Packet[Stream]"]:
        """The cue of ``packet``; none where it is empty, as mp4 fills its gaps, or cannot be read."""
        text = _text(packet)
        time = packet.pts if packet.pts is not None else packet.dts
        if not text.strip() or time is None:
            return []
        begin = time * packet.time_base
        end = begin + (packet.duration or 0) * packet.time_base
        return [self._encoded(text, begin, end)]

    def flush(self) -> list["Packet[Stream]"]:
        """Nothing: each cue is written as it comes."""
        return []

    def _encoded(self, text: bytes, begin: Fraction, end: Fraction) -> "Packet[Stream]":
        pts, length = round(begin / _CLOCK), round(end / _CLOCK) - round(begin / _CLOCK)
        event = b"%d,0,Default,,0,0,0,," % self._number + text
        self._number += 1
        packet = self._context.encode_subtitle(SubtitleSet.create(event, 0, max(length, 0)))
        packet.time_base, packet.pts, packet.dts, packet.duration = _CLOCK, pts, pts, max(length, 0)
        return packet


def _text(packet: "Packet[Stream]") -> bytes:
    r"""In ASS markup, lines parted by ``\N``; empty where there is none."""
    try:
        cue = cast(SubtitleStream, packet.stream).codec_context.decode2(packet)
    except (av.FFmpegError, UnicodeDecodeError):
        return b""
    lines = [] if cue is None else [rect.ass.split(b",", 8)[-1] for rect in cue if isinstance(rect, AssSubtitle)]
    return _DRAWING.sub(rb"\1", rb"\N".join(lines))
