"""Sound on its way from container to container: packets copied bit for bit, or transcoded where they must be."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.format import Flags
from av.rational import AVRational
from av.stream import Stream

from pipeline.codecs import Container
from pipeline.reader import AudioPacket

_CARRIED_METADATA = ("language", "title", "handler_name")
_BITS_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """What becomes of one audio stream.

    Attributes:
        stream: of the source.
        encoder: FFmpeg's name of the encoder it is transcoded with; None where its packets are copied.
        layout: of the channels when transcoded.
    """

    stream: AudioStream
    encoder: str | None = None
    layout: str = "stereo"


def called(stream: Stream) -> str:
    """How a stream is named in notices: ``audio stream 2 (aac, eng)``."""
    codec = stream.codec_context.name if stream.codec_context is not None else stream.name
    told = ", ".join(part for part in (codec, stream.language) if part and part != "und")
    return f"{stream.type} stream {stream.index}" + (f" ({told})" if told else "")


def plan_audio(streams: Sequence[AudioStream], container: Container) -> tuple[tuple[AudioPlan, ...], list[str]]:
    """What becomes of each stream in ``container``, and a line for each that is not copied."""
    plans: list[AudioPlan] = []
    notices: list[str] = []
    for stream in streams:
        plan = _plan_track(stream, container)
        if plan is None:
            notices.append(f"{called(stream)} is dropped: {container.suffix} files cannot hold it")
            continue
        if plan.encoder is not None:
            notices.append(f"{called(stream)} becomes {plan.encoder}: {container.suffix} files cannot hold it as it is")
        plans.append(plan)
    return tuple(plans), notices


def _plan_track(stream: AudioStream, container: Container) -> AudioPlan | None:
    """Copied if the container takes it, else transcoded with its channels, else in stereo, else None."""
    if container.audio_encoder is None:
        return None
    transcoded = (AudioPlan(stream, container.audio_encoder, layout) for layout in (stream.layout.name, "stereo"))
    return next((plan for plan in (AudioPlan(stream), *transcoded) if _is_held(plan, container)), None)


def _is_held(plan: AudioPlan, container: Container) -> bool:
    """Whether a throw-away file of the container opens with the stream; no table of ours could be as right."""
    trial = av.open(io.BytesIO(), "w", format=container.name)
    try:
        AudioTrack(trial, plan)
        trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):
            trial.close()
    return True


class AudioTrack:
    """One audio stream of an output.

    Raises:
        ValueError: the container does not hold such a stream.
        av.FFmpegError: the encoder refuses the layout or rate.
    """

    def __init__(self, output: OutputContainer, plan: AudioPlan) -> None:
        self._encoder = plan.encoder
        self._stream = _copied(output, plan.stream) if plan.encoder is None else _encoded(output, plan, plan.encoder)
        self._stream.metadata.update(
            {key: text for key, text in plan.stream.metadata.items() if key in _CARRIED_METADATA}
        )
        self._stream.disposition = plan.stream.disposition
        self._allows_equal_dts = bool(output.format.flags & cast(int, Flags.ts_nonstrict.value))
        self._last_dts: int | None = None
        self._next_dts = 0

    def packets(self, packet: AudioPacket) -> list[AudioPacket]:
        """What is written for ``packet`` of the source; a damaged one is left out of a transcoded track."""
        if self._encoder is None:
            return [self._fitted(packet)]
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return []
        return [self._fitted(encoded) for frame in frames for encoded in self._encode(frame)]

    def flush(self) -> list[AudioPacket]:
        """What an encoder held back."""
        return [] if self._encoder is None else [self._fitted(packet) for packet in self._encode(None)]

    def _encode(self, frame: av.AudioFrame | None) -> list[AudioPacket]:
        return cast("list[AudioPacket]", self._stream.codec_context.encode(frame))

    def _fitted(self, packet: AudioPacket) -> AudioPacket:
        """In the output's time base, and with times that a muxer takes: dts that grow, pts not before them."""
        packet.stream = self._stream
        if self._stream.time_base:
            packet.rescale_ts(AVRational(self._stream.time_base))
        dts = packet.dts if packet.dts is not None else packet.pts
        dts = self._next_dts if dts is None else dts
        if self._last_dts is not None:
            dts = max(dts, self._last_dts if self._allows_equal_dts else self._last_dts + 1)
        packet.dts = dts
        packet.pts = dts if packet.pts is None else max(packet.pts, dts)
        self._last_dts = dts
        self._next_dts = dts + (packet.duration or 1)
        return packet


def _copied(output: OutputContainer, template: AudioStream) -> AudioStream:
    return output.add_stream_from_template(template)


def _encoded(output: OutputContainer, plan: AudioPlan, encoder: str) -> AudioStream:
    rate = _nearest_rate(encoder, plan.stream.rate)
    stream = cast(AudioStream, output.add_stream(encoder, rate=rate))
    stream.layout = plan.layout
    stream.bit_rate = _BITS_PER_CHANNEL[encoder] * max(stream.layout.nb_channels, 1)
    stream.time_base = Fraction(1, rate)
    stream.codec_context.time_base = Fraction(1, rate)
    return stream


def _nearest_rate(encoder: str, rate: int) -> int:
    """The lowest rate of the encoder that loses nothing, or its highest."""
    rates = av.Codec(encoder, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((other for other in rates if other >= rate), default=max(rates))
