"""What the output will be, decided and tried before a model is loaded: container, codecs, streams, pixel format."""

import io
import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.config import EncodeConfig
from pipeline.encode.metadata import plan_metadata
from pipeline.encode.muxer import Muxer, display_size, new_temporary
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.pixel_format import plan_picture
from pipeline.encode.stream_map import plan_streams
from pipeline.errors import OutputError
from pipeline.frames import VideoInfo
from pipeline.media.chapters import Chapter
from pipeline.media.codecs import CODECS, Encoder, encoder_for, encoder_options
from pipeline.media.containers import Container, container_for
from pipeline.media.damage import Damage


class Source(Protocol):
    """What an opened input tells the planner; `pipeline.decode.source.Source` is one.

    Attributes:
        info: size, colour and times of the frames.
        video: the main video stream; None if PyAV does not read the file.
        other_streams: all other streams.
        is_start_trimmed: whether the clip starts later than the file.
        covers: cover images as stored in the file, by stream index.
        chapters: of the clip, on its own timeline.
        metadata: of the file.
    """

    info: VideoInfo
    video: VideoStream | None
    other_streams: tuple[Stream, ...]
    is_start_trimmed: bool
    covers: dict[int, bytes]
    chapters: list[Chapter]
    metadata: dict[str, str]

    def add_damage(self, place: Damage) -> None:
        """Record a place where a converted stream does not decode."""


# A frame lasts 2^31 ticks there at most; exact to a microsecond, it lasts 35 minutes.
_FINEST_MP4 = Fraction(1, 1_000_000)


def plan_output(
    source: Source,
    target: str | Path,
    config: EncodeConfig | None = None,
    *,
    size: tuple[int, int] | None = None,
    may_replace: bool = False,
) -> OutputPlan:
    """Decide how the painted frames of ``source`` become ``target`` (``-`` for standard output).

    Args:
        source: the opened input.
        target: a file name, whose ending names the container.
        config: what was asked for.
        size: width and height of the frames that will come; None where they are as large as the source's.
        may_replace: whether an existing target may be replaced although ``config`` does not say so.

    Raises:
        ValueError: a codec, quality, preset or ending that does not exist.
        OutputError: the file cannot be written there, or the container or machine cannot do what was asked.
    """
    name, config = str(target), config or EncodeConfig()
    try:
        container = container_for(name)
    except ValueError as error:
        raise OutputError(name, str(error)) from error
    encoder = encoder_for(config.codec, container)
    encoder_options(encoder, config.quality, config.preset)
    _check_place(name, may_replace=config.overwrite or may_replace)
    _check_held(name, encoder, container)
    width, height = size or (source.info.width, source.info.height)
    picture = plan_picture(name, source.info, encoder, container, config.preset, (width, height))
    metadata = plan_metadata(
        source.metadata,
        {} if source.video is None else source.video.metadata,
        container,
        _rate(source.info),
        is_start_trimmed=source.is_start_trimmed,
        has_cover=container.name == "mp4" and config.streams == "all" and bool(source.covers),
    )
    streams, stream_notices = plan_streams(
        source.other_streams, container, config.streams, covers=source.covers, timecode_fault=metadata.timecode_fault
    )
    plan = OutputPlan(
        target=name,
        replaces=config.overwrite or os.path.lexists(os.path.realpath(name)),
        container=container,
        encoder=encoder,
        options=encoder_options(encoder, config.quality, picture.preset),
        threads=config.threads,
        width=width,
        height=height,
        pixel_format=picture.pixel_format,
        time_base=_time_base(source.info, container),
        rate=_rate(source.info),
        sample_aspect_ratio=source.info.sample_aspect_ratio,
        color=picture.color,
        background=picture.background,
        streams=tuple(replace(stream, damaged=source.add_damage) for stream in streams),
        chapters=tuple(source.chapters) if config.streams == "all" else (),
        metadata=metadata.whole,
        video_metadata=metadata.picture,
        has_free_keys=metadata.has_free_keys,
        video_disposition=0 if source.video is None else int(source.video.disposition),
        notices=(
            *picture.notices,
            *stream_notices,
            *_chapter_notices(source, container, config),
            *metadata.notices,
        ),
    )
    _try(plan)
    if name == "-" and display_size(plan) is not None:
        line = f"the shape of the pixels is lost: {encoder.codec} in a pipe cannot hold it; --codec h264 does"
        plan = replace(plan, notices=(*plan.notices, line))
    return plan


def _check_place(target: str, *, may_replace: bool) -> None:
    """Refuse what cannot be written, or should not be, before any work is done."""
    if target == "-":
        if sys.stdout is None:  # closed by the shell, as by >&-
            raise OutputError(target, "standard output is closed; give the name of a file")
        return
    path = os.path.realpath(target)
    if len(os.fsencode(os.path.basename(path))) > 255:
        raise OutputError(target, "its name is longer than the 255 bytes that file systems take; shorten it")
    if os.path.isdir(path):
        raise OutputError(target, "is a folder; give the name of a file")
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise OutputError(target, "is not a regular file; give another name, or - for a pipe")
        if not may_replace:
            raise OutputError(target, "exists already; give another name or --overwrite")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise OutputError(target, f"there is no folder {folder}; create it first")
    try:
        os.unlink(new_temporary(path))
    except OSError as error:
        raise OutputError(target, f"its folder cannot be written to ({error.strerror}); choose another") from error


def _check_held(target: str, encoder: Encoder, container: Container) -> None:
    with av.open(io.BytesIO(), "w", format=container.name) as trial:
        held = trial.supported_codecs
    if encoder.name not in held:
        others = ", ".join(codec for codec, other in CODECS.items() if other.name in held)
        raise OutputError(target, f"{container.suffix} files cannot hold {encoder.codec}; they can hold {others}")


def _time_base(info: VideoInfo, container: Container) -> Fraction:
    """The source's, except where the container has a clock of its own."""
    clocks = {"gif": Fraction(1, 100), "webp": Fraction(1, 1000)}
    if container.name in ("mp4", "mov") and info.time_base < _FINEST_MP4:
        return _FINEST_MP4
    return clocks.get(container.name, info.time_base)


def _rate(info: VideoInfo) -> Fraction:
    return info.average_rate or Fraction(30)


def _chapter_notices(source: Source, container: Container, config: EncodeConfig) -> list[str]:
    if container.name not in ("gif", "webp") or not source.chapters or config.streams != "all":
        return []
    return [f"chapters are dropped: {container.suffix} files cannot hold them"]


def _try(plan: OutputPlan) -> None:
    """Open all encoders and write a header to memory, so that what fails does so now.

    Raises:
        OutputError: what failed, and what to choose instead.
    """
    try:
        Muxer(plan, io.BytesIO(), is_trial=True).abandon()
    except (av.FFmpegError, OSError) as error:
        name, reason = plan.encoder.name, getattr(error, "strerror", None) or error
        if plan.encoder.is_hardware:
            hint = f"this machine has no NVENC; choose --codec {plan.encoder.codec}"
        else:
            hint = "choose another --codec, --preset or --height"
        size = f"{plan.width}x{plan.height}"
        where = f"for {size} in {plan.container.suffix} files"
        raise OutputError(plan.target, f"{name} cannot be opened {where} ({reason}); {hint}") from error
