"""Planning of the output before a model is loaded: container, codecs, streams and pixel format, all tried."""

import io
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.config import EncodeConfig
from pipeline.encode.metadata import choose_metadata
from pipeline.encode.muxer import Muxer, display_size
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.pixel_format import choose_format
from pipeline.encode.side_streams.stream_map import map_streams
from pipeline.errors import OutputError, reason_of
from pipeline.frames import Frame, VideoInfo
from pipeline.media.chapters import Chapter
from pipeline.media.codecs import CODECS, Encoder, encoder_for, encoder_options, in_software
from pipeline.media.containers import Container, container_for
from pipeline.media.damage import Damage
from pipeline.media.pixels.alpha import background_grey
from pipeline.system.files.atomic import new_temporary, remove
from pipeline.system.files.names import destination, why_taken

TRIAL_FRAMES = 4
# mp4 stores durations in 31 bits of ticks: at a microsecond per tick, a frame can last 35 minutes.
_FINEST_MP4 = Fraction(1, 1_000_000)


class Source(Protocol):
    """What the planner needs of an input; see `pipeline.decode.source.Source`."""

    info: VideoInfo
    video: VideoStream | None
    other_streams: tuple[Stream, ...]
    is_start_trimmed: bool
    covers: dict[int, bytes]
    chapters: list[Chapter]
    metadata: Mapping[str, str]

    def add_damage(self, place: Damage) -> None:
        """Add a place where a converted stream does not decode."""


def plan_output(
    source: Source,
    target: str | Path,
    config: EncodeConfig | None = None,
    *,
    size: tuple[int, int] | None = None,
    may_replace: bool = False,
    gpu: int | None = None,
) -> OutputPlan:
    """Return the plan by which the stylized frames of ``source`` become ``target`` (``-`` for standard output).

    A hardware encoder encodes a few frames first. If it does not work here, or not for such frames, the plan has the
    software encoder of the same codec, and a notice.

    Args:
        source: the opened input.
        target: a file name, whose suffix names the container.
        config: what is asked for.
        size: width and height of the stylized frames in pixels; None means the source's.
        may_replace: whether an existing target may be replaced although ``config`` does not say so.
        gpu: number of the GPU for a hardware encoder; None for the first.

    Raises:
        ValueError: the codec, quality or preset does not exist.
        OutputError: the file cannot be written there, or the container or the machine does not support the plan.
    """
    config = config or EncodeConfig()
    try:
        return _plan(source, str(target), config, size, may_replace, gpu)
    except _HardwareError as error:
        hardware, reason = error.encoder, error.reason
    plan = _plan(source, str(target), in_software(hardware, config), size, may_replace, None)
    quality = plan.options.get(plan.encoder.quality_option or "")
    chosen = f"{plan.encoder.name}{'' if quality is None else f', quality {quality}'}"
    notice = f"{hardware.name} does not work here ({reason}): encoding with {chosen}"
    return replace(plan, notices=(notice, *plan.notices))


class _HardwareError(Exception):
    """A hardware encoder does not encode what is planned.

    Args:
        encoder: that does not work.
        reason: why, in the words of FFmpeg.
    """

    def __init__(self, encoder: Encoder, reason: str) -> None:
        super().__init__(reason)
        self.encoder, self.reason = encoder, reason


def _plan(
    source: Source,
    name: str,
    config: EncodeConfig,
    size: tuple[int, int] | None,
    may_replace: bool,
    gpu: int | None,
) -> OutputPlan:
    container, encoder = _choose_encoder(name, config)
    _check_place(name, may_replace=config.overwrite or may_replace)
    _check_codec(name, encoder, container)
    info, has_all_streams = source.info, config.streams == "all"
    rate = info.average_rate or Fraction(30)
    width, height = size or (info.width, info.height)
    pixel_format, preset, color, notices = choose_format(name, info, encoder, container, config.preset, (width, height))
    metadata = choose_metadata(
        source.metadata,
        {} if source.video is None else source.video.metadata,
        container,
        rate,
        is_start_trimmed=source.is_start_trimmed,
        has_cover=container.name == "mp4" and has_all_streams and bool(source.covers),
    )
    streams, stream_notices = map_streams(
        source.other_streams, container, config.streams, covers=source.covers, timecode_fault=metadata.timecode_fault
    )
    chapters = tuple(source.chapters) if has_all_streams else ()
    notices += stream_notices
    if container.is_animation and chapters:
        notices.append(f"chapters are dropped: {container.suffix} files do not support them")
    plan = OutputPlan(
        target=name,
        replaces=config.overwrite or may_replace,
        container=container,
        encoder=encoder,
        options=encoder_options(encoder, config.quality, preset),
        threads=config.threads,
        width=width,
        height=height,
        pixel_format=pixel_format,
        time_base=_time_base(info, container),
        rate=rate,
        sample_aspect_ratio=info.sample_aspect_ratio,
        color=color,
        background=background_grey(info.container),
        streams=tuple(replace(mapping, add_damage=source.add_damage) for mapping in streams),
        chapters=chapters,
        metadata=metadata.file,
        video_metadata=metadata.video,
        has_free_keys=metadata.has_free_keys,
        video_disposition=0 if source.video is None else int(source.video.disposition),
        notices=(*notices, *metadata.notices),
        gpu=gpu,
    )
    _try(plan)
    return _with_lost_aspect_ratio(plan)


def _choose_encoder(name: str, config: EncodeConfig) -> tuple[Container, Encoder]:
    """Return the container that the suffix names, and an encoder whose options are valid."""
    try:
        container = container_for(name)
    except ValueError as error:
        raise OutputError(name, str(error)) from error
    encoder = encoder_for(config.codec, container)
    encoder_options(encoder, config.quality, config.preset)
    return container, encoder


def _with_lost_aspect_ratio(plan: OutputPlan) -> OutputPlan:
    """Add a notice if the output is a pipe, which does not store the pixel aspect ratio."""
    if plan.target != "-" or display_size(plan) is None:
        return plan
    codec = plan.encoder.codec
    notice = f"the pixel aspect ratio is lost: {codec} in a pipe does not support it; --codec h264 does"
    return replace(plan, notices=(*plan.notices, notice))


def _check_place(target: str, *, may_replace: bool) -> None:
    if target == "-":
        if sys.stdout is None:  # closed by the shell, as by >&-
            raise OutputError(target, "standard output is closed; give a file name")
        return
    path = destination(target, may_replace=may_replace)
    if len(os.fsencode(os.path.basename(path))) > 255:
        raise OutputError(target, "its name is longer than the 255 bytes that file systems support; shorten it")
    if os.path.isdir(path):
        raise OutputError(target, "is a folder; give a file name")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(target, "is not a regular file; give another name, or - for a pipe")
    if not may_replace and (reason := why_taken(path)):
        raise OutputError(target, reason)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise OutputError(target, f"there is no folder {folder}; create it first")
    try:
        remove(new_temporary(path))
    except OSError as error:
        raise OutputError(target, f"its folder cannot be written to ({error.strerror}); choose another") from error


def _check_codec(target: str, encoder: Encoder, container: Container) -> None:
    with av.open(io.BytesIO(), "w", format=container.name) as trial:
        supported = trial.supported_codecs
    if encoder.name not in supported:
        codecs = ", ".join(codec for codec, other in CODECS.items() if other.name in supported)
        raise OutputError(target, f"{container.suffix} files do not support {encoder.codec}; they support {codecs}")


def _time_base(info: VideoInfo, container: Container) -> Fraction:
    """Return the source's time base, or the container's if that has its own."""
    if container.is_quicktime and info.time_base > 1:  # days for each tick: more than a frame can be shown
        return Fraction(1, info.time_base.denominator)
    if container.is_quicktime and info.time_base < _FINEST_MP4:
        return _FINEST_MP4
    return {"gif": Fraction(1, 100), "webp": Fraction(1, 1000)}.get(container.name, info.time_base)


def _try(plan: OutputPlan) -> None:
    """Open all encoders and write a header to memory, so that what cannot work fails now.

    Raises:
        OutputError: what failed, and what to choose instead.
        _HardwareError: a hardware encoder failed.
    """
    try:
        Muxer(plan, io.BytesIO(), is_trial=True).abandon()
        if plan.encoder.is_hardware:
            _encode_some_frames(plan)
    except (av.FFmpegError, OSError) as error:
        name, reason = plan.encoder.name, reason_of(error)
        if plan.encoder.is_hardware:
            raise _HardwareError(plan.encoder, reason) from error
        hint = "choose another --codec, --preset or --height"
        where = f"for {plan.width}x{plan.height} in {plan.container.suffix} files"
        raise OutputError(plan.target, f"{name} cannot be opened {where} ({reason}); {hint}") from error


def _encode_some_frames(plan: OutputPlan) -> None:
    """Encode a few frames into memory: a device may open an encoder that then encodes nothing.

    Raises:
        av.FFmpegError, OSError: the encoder fails.
        _HardwareError: it returns another number of frames.
    """
    muxer = Muxer(replace(plan, streams=(), chapters=()), io.BytesIO(), is_trial=True)
    pixels, step = np.zeros((plan.height, plan.width, 3), np.uint8), max(round(1 / (plan.rate * plan.time_base)), 1)
    try:
        for number in range(TRIAL_FRAMES):
            muxer.write_frame(Frame(pixels, number * step, plan.time_base, step))
        muxer.finish()
    finally:
        muxer.abandon()
    if muxer.video_packets != TRIAL_FRAMES:
        raise _HardwareError(plan.encoder, f"it returned {muxer.video_packets} of {TRIAL_FRAMES} frames")
