"""A stream of the source on its way into an output: its packets copied bit for bit, or converted, in time."""

from fractions import Fraction
from typing import Protocol, cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.format import Flags
from av.packet import Packet
from av.rational import AVRational
from av.stream import Stream

from pipeline.encode.metadata import stream_metadata
from pipeline.encode.output_plan import StreamMapping
from pipeline.encode.subtitles import CLOCK, SubtitleConverter
from pipeline.errors import reason_of
from pipeline.media.damage import Damage
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import codec_name

_BITS_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}
# So many frames a decoder of B-frames may hold back; dts run ahead of pts by as many where the source has none.
_REORDERED_FRAMES = 4


class Converter(Protocol):
    """Turns packets of one codec into those of another."""

    stream: Stream

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        """What ``packet`` becomes, if anything yet."""

    def flush(self) -> list[StreamPacket]:
        """What was held back."""


class CarriedTrack:
    """One stream of an output besides its picture.

    Attributes:
        plan: what it follows.
        stream: of the output.

    Raises:
        ValueError: the container does not hold such a stream.
        av.FFmpegError: an encoder refuses what it would be given.
    """

    def __init__(self, output: OutputContainer, plan: StreamMapping) -> None:
        self.plan = plan
        self._converter = _converter(output, plan)
        self._is_attached = plan.payload is not None and output.format.name == "matroska"
        if self._converter is not None:
            self.stream = self._converter.stream
        else:
            self.stream = _attached(output, plan) if self._is_attached else _copied(output, plan.stream)
        self.stream.metadata.update(
            stream_metadata(plan.stream.metadata, output.format.name, is_encoded=plan.action == "convert")
        )
        self.stream.disposition = plan.stream.disposition
        self._times = _Times(self.stream, bool(output.format.flags & cast(int, Flags.ts_nonstrict.value)))

    def head(self) -> list[StreamPacket]:
        """What is written before all else: the picture of a cover, where it is no attachment."""
        if self.plan.payload is None or self._is_attached:
            return []
        packet = Packet(self.plan.payload)
        packet.pts = packet.dts = 0
        packet.time_base = self.stream.time_base or Fraction(1, 90000)
        packet.is_keyframe = True
        return [self._times.fitted(packet)]

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        """What is written for ``packet`` of the source; a damaged one is left out of a converted track, and noted.

        Raises:
            InputError: damage is an error.
        """
        given = [packet] if self._converter is None else self._converter.packets(packet)
        return [self._times.fitted(each) for each in given]

    def flush(self) -> list[StreamPacket]:
        """What a converter held back."""
        given = [] if self._converter is None else self._converter.flush()
        return [self._times.fitted(each) for each in given]


class _Times:
    """Gives packets times that a muxer takes, in the output's time base: dts that grow, pts not before them."""

    def __init__(self, stream: Stream, allows_equal_dts: bool) -> None:
        self._stream = stream
        self._allows_equal_dts = allows_equal_dts
        self._last_dts: int | None = None
        self._next_dts = 0
        self._pending_pts: list[int] = []

    def fitted(self, packet: StreamPacket) -> StreamPacket:
        packet.stream = self._stream
        if self._stream.time_base:
            packet.rescale_ts(AVRational(self._stream.time_base))
        dts = packet.dts if packet.dts is not None else self._guessed_dts(packet)
        if self._last_dts is not None:
            dts = max(dts, self._last_dts if self._allows_equal_dts else self._last_dts + 1)
        packet.dts = dts
        packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        self._last_dts = dts
        self._next_dts = dts + (packet.duration or 1)
        return packet

    def _guessed_dts(self, packet: StreamPacket) -> int:
        """The pts, or what follows; for pictures, which may be out of order, the pts seen, sorted and moved ahead."""
        if packet.pts is None:
            return self._next_dts
        if self._stream.type != "video":
            return packet.pts
        self._pending_pts = sorted((*self._pending_pts, packet.pts))
        if self._last_dts is None:
            return packet.pts - _REORDERED_FRAMES * max(packet.duration or 1, 1)
        if len(self._pending_pts) <= _REORDERED_FRAMES:
            return self._next_dts
        return min(self._pending_pts.pop(0), packet.pts)


def _copied(output: OutputContainer, template: Stream) -> Stream:
    # The decoder as it is: asking for an encoder of a picture that is only copied fails where there is none.
    stream = output.add_stream_from_template(template, opaque=True)
    if codec_name(template) == "mov_text":
        stream.time_base = CLOCK
    return stream


def _attached(output: OutputContainer, plan: StreamMapping) -> Stream:
    """A cover as Matroska holds it: as a file that is attached."""
    codec = codec_name(plan.stream)
    kind, suffix = {"mjpeg": ("image/jpeg", "jpg")}.get(codec or "", (f"image/{codec}", codec))
    return output.add_attachment(f"cover.{suffix}", kind, plan.payload or b"")


def _converter(output: OutputContainer, plan: StreamMapping) -> Converter | None:
    if plan.encoder is None:
        return None
    if plan.stream.type == "subtitle":
        return SubtitleConverter(output, plan.stream, plan.encoder)
    return _AudioConverter(output, plan, plan.encoder)


class _AudioConverter:
    """Transcodes sound; see `Converter`."""

    def __init__(self, output: OutputContainer, plan: StreamMapping, encoder: str) -> None:
        rate = _nearest_rate(encoder, cast(AudioStream, plan.stream).rate)
        stream = cast(AudioStream, output.add_stream(encoder, rate=rate))
        stream.layout = plan.layout
        stream.bit_rate = _BITS_PER_CHANNEL[encoder] * max(stream.layout.nb_channels, 1)
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        self.stream: Stream = stream
        self._context = stream.codec_context
        self._damaged = plan.damaged
        self._count = 0
        self._is_lost = False

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        self._count += 1
        try:
            frames = cast("list[av.AudioFrame]", packet.decode())
        except av.FFmpegError as error:
            self._note(packet, reason_of(error))
            return []
        self._is_lost = False
        return [encoded for frame in frames for encoded in self._encoded(frame)]

    def flush(self) -> list[StreamPacket]:
        return self._encoded(None)

    def _note(self, packet: StreamPacket, reason: str) -> None:
        """The first of neighbours that do not decode."""
        if self._damaged is not None and not self._is_lost:
            time = packet.pts if packet.pts is not None else packet.dts
            seconds = None if time is None else time * packet.time_base
            self._damaged(Damage(self._count - 1, seconds, reason, f"audio {packet.stream_index}"))
        self._is_lost = True

    def _encoded(self, frame: av.AudioFrame | None) -> list[StreamPacket]:
        return cast(list[StreamPacket], self._context.encode(frame))


def _nearest_rate(encoder: str, rate: int) -> int:
    """The lowest rate of the encoder that loses nothing, or its highest."""
    rates = av.Codec(encoder, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((other for other in rates if other >= rate), default=max(rates))
