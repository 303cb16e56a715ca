"""Output tracks besides the main video: packets copied bit for bit, or converted, with times that a muxer accepts."""

from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.format import Flags
from av.packet import Packet
from av.rational import AVRational
from av.stream import Stream

from pipeline.encode.metadata import stream_metadata
from pipeline.encode.output_plan import StreamMapping
from pipeline.encode.side_streams.frame_header import frame_kind
from pipeline.encode.side_streams.subtitles import CLOCK, SubtitleConverter
from pipeline.errors import reason_of
from pipeline.media.damage import Damage
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import codec_name

_BITS_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}
# An mp4 counts the duration of a sample, up to the start of the next, in 31 bits.
_LONGEST_TICKS = 2**31 - 2
# How long a packet of unknown duration lasts at most; before it there may be a gap.
_LONGEST_GUESS_SECONDS = 1
# Frames that a decoder of B-frames may reorder; dts precede pts by as many if the source has no dts.
_MAX_REORDERED_FRAMES = 4


class SideTrack:
    """One track of an output besides the main video.

    Attributes:
        stream: the output stream.

    Raises:
        ValueError: the container does not support such a stream.
        av.FFmpegError: an encoder does not support its input.
    """

    def __init__(self, output: OutputContainer, mapping: StreamMapping) -> None:
        self._mapping = mapping
        self._payload = mapping.payload
        self._count = 0
        self._kind: str | None = None
        self._has_changed = False
        self._converter = _converter(output, mapping)
        self._is_attachment = mapping.payload is not None and output.format.name == "matroska"
        if self._converter is not None:
            self.stream = self._converter.stream
        else:
            self.stream = _attachment(output, mapping) if self._is_attachment else _copy(output, mapping.stream)
        self.stream.metadata.update(
            stream_metadata(mapping.stream.metadata, output.format.name, is_encoded=mapping.action == "convert")
        )
        self.stream.disposition = mapping.stream.disposition
        allows_equal_dts = bool(output.format.flags & cast(int, Flags.ts_nonstrict.value))
        longest_ticks = _LONGEST_TICKS if output.format.name in ("mp4", "mov") else None
        self._times = _PacketTimes(self.stream, mapping, allows_equal_dts, longest_ticks)

    def first_packets(self) -> list[StreamPacket]:
        """Return what is written before everything else: the image of a cover, unless it is an attachment."""
        if self._payload is None or self._is_attachment:
            return []
        packet = Packet(self._payload)
        packet.pts = packet.dts = 0
        packet.time_base = self.stream.time_base or Fraction(1, 90000)
        packet.is_keyframe = True
        return self._times.fit([packet])

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        """Return the output packets for a source packet; what a converter or the container cannot take is left out.

        Raises:
            InputError: damage is an error.
        """
        if self._converter is not None:
            return self._times.fit(self._converter.packets(packet))
        return self._times.fit([packet] if self._is_same_kind(packet) else [])

    def _is_same_kind(self, packet: StreamPacket) -> bool:
        """Return whether the header of the track, made for the first packet, is right for ``packet`` too."""
        if self.stream.type != "audio":
            return True
        self._count += 1
        kind = frame_kind(packet)
        if self._count == 1:
            self._kind = kind
        if kind is None or self._kind in (None, kind):
            return True
        if not self._has_changed and self._mapping.add_damage is not None:
            self._has_changed = True
            seconds = None if packet.pts is None else packet.pts * packet.time_base
            reason = f"it changes from {self._kind} to {kind}, which is left out"
            self._mapping.add_damage(Damage(self._count - 1, seconds, reason, f"audio {self._mapping.stream.index}"))
        return False

    def flush(self) -> list[StreamPacket]:
        """Return the packets that a converter still buffers."""
        return [] if self._converter is None else self._times.fit(self._converter.flush())


class _PacketTimes:
    """Gives packets times that a muxer accepts, in the output's time base: increasing dts, no pts before dts.

    Args:
        stream: of the output.
        mapping: of the track.
        allows_equal_dts: whether the container does.
        longest_ticks: longest step from one packet to the next, and longest duration; None for no limit.
    """

    def __init__(
        self, stream: Stream, mapping: StreamMapping, allows_equal_dts: bool, longest_ticks: int | None
    ) -> None:
        self._stream = stream
        self._mapping = mapping
        self._allows_equal_dts = allows_equal_dts
        self._longest_ticks = longest_ticks
        self._count = 0
        self._is_over = False
        self._last_dts: int | None = None
        self._previous_dts: int | None = None
        self._next_dts = 0
        self._pending_pts: list[int] = []

    def fit(self, packets: list[StreamPacket]) -> list[StreamPacket]:
        """Return ``packets`` with their times in the output; those after too long a gap are left out."""
        return [fitting for packet in packets if (fitting := self._limited(self._fit(packet))) is not None]

    def _limited(self, packet: StreamPacket) -> StreamPacket | None:
        """Return ``packet``, shortened if it lasts too long; None if it, or one before, comes after too long a gap."""
        self._count += 1
        if self._longest_ticks is None or self._is_over:
            return None if self._is_over else packet
        gap = 0 if self._previous_dts is None or packet.dts is None else packet.dts - self._previous_dts
        if gap > self._longest_ticks:
            self._is_over = True
            self._report(packet, gap, "comes {} after the one before; an mp4 or mov cannot store that, its track ends")
            return None
        if (packet.duration or 0) > self._longest_ticks:
            self._report(packet, packet.duration or 0, "lasts {}, longer than an mp4 or mov can store; it is shortened")
            packet.duration = self._longest_ticks
        return packet

    def _report(self, packet: StreamPacket, ticks: int, reason: str) -> None:
        seconds_per_tick, stream = self._stream.time_base or Fraction(0), self._mapping.stream
        if self._mapping.add_damage is not None:
            text = reason.format(f"{float(ticks * seconds_per_tick / 3600):.1f} h")
            place = f"{stream.type} {stream.index}"
            self._mapping.add_damage(Damage(self._count - 1, (packet.pts or 0) * seconds_per_tick, text, place))

    def _fit(self, packet: StreamPacket) -> StreamPacket:
        packet.stream = self._stream
        if self._stream.time_base:
            packet.rescale_ts(AVRational(self._stream.time_base))
        dts = packet.dts if packet.dts is not None else self._estimated_dts(packet)
        if self._last_dts is not None:
            dts = max(dts, self._last_dts if self._allows_equal_dts else self._last_dts + 1)
        packet.dts = dts
        packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        self._next_dts = dts + (packet.duration or 1)
        if not packet.duration and self._last_dts is not None and self._stream.type in ("audio", "video"):
            packet.duration = self._guessed_duration(dts - self._last_dts)
        self._previous_dts = self._last_dts
        self._last_dts = dts
        return packet

    def _guessed_duration(self, step: int) -> int:
        """Return the time since the packet before: an mp4 hides a last packet that lasts no time."""
        longest = _LONGEST_GUESS_SECONDS / (self._stream.time_base or Fraction(1))
        return min(step, int(longest))

    def _estimated_dts(self, packet: StreamPacket) -> int:
        """Return the pts, or the end of the packet before; for video, the pts so far, sorted and moved ahead."""
        if packet.pts is None:
            return self._next_dts
        if self._stream.type != "video":
            return packet.pts
        self._pending_pts = sorted((*self._pending_pts, packet.pts))
        if self._last_dts is None:
            return packet.pts - _MAX_REORDERED_FRAMES * max(packet.duration or 1, 1)
        if len(self._pending_pts) <= _MAX_REORDERED_FRAMES:
            return self._next_dts
        return min(self._pending_pts.pop(0), packet.pts)


def _copy(output: OutputContainer, template: Stream) -> Stream:
    # opaque keeps the decoder's parameters: without it PyAV looks for an encoder, which may not exist.
    stream = output.add_stream_from_template(template, opaque=True)
    if codec_name(template) == "mov_text":
        stream.time_base = CLOCK
    return stream


def _attachment(output: OutputContainer, mapping: StreamMapping) -> Stream:
    """Add a cover as Matroska stores it: as an attached file."""
    codec = codec_name(mapping.stream)
    kind, suffix = {"mjpeg": ("image/jpeg", "jpg")}.get(codec or "", (f"image/{codec}", codec))
    return output.add_attachment(f"cover.{suffix}", kind, mapping.payload or b"")


def _converter(output: OutputContainer, mapping: StreamMapping) -> "SubtitleConverter | _AudioConverter | None":
    if mapping.encoder is None:
        return None
    if mapping.stream.type == "subtitle":
        return SubtitleConverter(output, mapping.stream, mapping.encoder)
    return _AudioConverter(output, mapping, mapping.encoder)


_SampleKind = tuple[str, str, int]


class _AudioConverter:
    """Transcodes audio; ``stream`` is that of the output. Sample format, layout and rate of the source may change."""

    def __init__(self, output: OutputContainer, mapping: StreamMapping, encoder: str) -> None:
        rate = _supported_rate(encoder, cast(AudioStream, mapping.stream).rate)
        stream = cast(AudioStream, output.add_stream(encoder, rate=rate))
        stream.layout = mapping.layout
        stream.bit_rate = _BITS_PER_CHANNEL[encoder] * max(stream.layout.nb_channels, 1)
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        self.stream: Stream = stream
        self._context = stream.codec_context
        self._add_damage = mapping.add_damage
        self._count = 0
        self._is_damaged = False
        self._first_kind: _SampleKind | None = None
        self._kind: _SampleKind | None = None
        self._time_base: Fraction | None = None
        self._resampler: av.AudioResampler | None = None

    def packets(self, packet: StreamPacket) -> list[StreamPacket]:
        self._count += 1
        try:
            frames = cast(list[av.AudioFrame], packet.decode())
        except av.FFmpegError as error:
            self._packet_failed(packet, reason_of(error))
            return []
        self._is_damaged = False
        return [encoded for frame in frames for same in self._uniform(frame) for encoded in self._encoded(same)]

    def flush(self) -> list[StreamPacket]:
        return [encoded for frame in (*self._resampled(None), None) for encoded in self._encoded(frame)]

    def _uniform(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """Return ``frame`` as the encoder can take it: with the format, layout, rate and time base of the first."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._first_kind is None:
            self._first_kind, self._kind, self._time_base = kind, kind, frame.time_base
        ready = list[av.AudioFrame]()
        if kind != self._kind:
            ready = self._resampled(None)
            self._resampler = None if kind == self._first_kind else av.AudioResampler(*self._first_kind)
            self._kind = kind
        return [*ready, *self._resampled(frame)]

    def _resampled(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        """Return what the resampler makes of ``frame``; None flushes it."""
        if self._resampler is None:
            return [] if frame is None else [frame]
        frames = self._resampler.resample(frame)
        for each in frames:
            if each.pts is not None and each.time_base is not None and self._time_base is not None:
                each.pts = round(each.pts * each.time_base / self._time_base)
                each.time_base = self._time_base
        return frames

    def _packet_failed(self, packet: StreamPacket, reason: str) -> None:
        """Add the first of adjacent packets that do not decode as damage."""
        if self._add_damage is not None and not self._is_damaged:
            time = packet.pts if packet.pts is not None else packet.dts
            seconds = None if time is None else time * packet.time_base
            self._add_damage(Damage(self._count - 1, seconds, reason, f"audio {packet.stream_index}"))
        self._is_damaged = True

    def _encoded(self, frame: av.AudioFrame | None) -> list[StreamPacket]:
        return cast(list[StreamPacket], self._context.encode(frame))


def _supported_rate(encoder: str, rate: int) -> int:
    """Return the lowest sample rate of the encoder that loses nothing, or its highest."""
    rates = av.Codec(encoder, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((other for other in rates if other >= rate), default=max(rates))
