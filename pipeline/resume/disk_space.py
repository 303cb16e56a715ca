"""Estimate the disk space that a render needs for segments and output, before it starts."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence

from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import OutputError
from pipeline.frames import VideoInfo
from pipeline.media.codecs import Encoder
from pipeline.resume.segments import ANIMATIONS
from pipeline.resume.work_folder.segment_record import Segment

# Bits per pixel of stylized frames at the encoder's default quality: 45 frames of the sample clip harbor in great-wave,
# 320x180; larger frames need less.
BITS_PER_PIXEL = {
    "h264": 0.37,
    "h265": 0.22,
    "av1": 0.28,
    "vp9": 0.37,
    "prores": 6.5,
    "ffv1": 12.3,
    "gif": 7.5,
    "webp": 1.2,
}
# Steps of constant quality that double the size.
_STEPS_TO_DOUBLE = {"h264": 6, "h265": 6, "av1": 8, "vp9": 8}
# The estimate may be wrong: only less free space than this share of it is an error.
_CLEARLY_TOO_LITTLE = 0.15


def check_space(
    folder: str,
    finished: Sequence[Segment],
    plan: OutputPlan,
    info: VideoInfo,
    source_bytes: int,
    notify: Callable[[str], None],
    *,
    freed_bytes: int = 0,
) -> None:
    """Compare the free disk space with what is still to be written.

    Args:
        folder: the work folder.
        finished: segments that exist already.
        plan: of the output.
        info: of the source.
        source_bytes: size of the source, which includes the streams that are copied.
        notify: called if the space may not suffice.
        freed_bytes: size of what is deleted before anything is written.

    Raises:
        OutputError: there is clearly too little space.
    """
    needed = _needed_bytes(finished, plan, info, source_bytes)
    try:
        free = shutil.disk_usage(folder).free + freed_bytes
    except OSError:
        return
    if needed is None or needed <= free:
        return
    text = f"segments and output need about {size_text(needed)}, {size_text(free)} are free"
    if free < _CLEARLY_TOO_LITTLE * needed:
        raise OutputError(plan.target, f"{text}; free disk space, or choose another disk, --codec or --quality")
    notify(f"{text} on the disk of {os.path.basename(plan.target)}: it may become full")


def _needed_bytes(finished: Sequence[Segment], plan: OutputPlan, info: VideoInfo, source_bytes: int) -> float | None:
    if not info.frame_count:
        return None
    is_animation, pixels = plan.container.name in ANIMATIONS, plan.width * plan.height
    output_bytes_per_frame = bits_per_pixel(plan.encoder, plan.options) * pixels / 8
    finished_bytes = sum(segment.bytes for segment in finished)
    finished_frames = sum(len(segment.pts) for segment in finished)
    # Segments of animations are lossless.
    estimate = BITS_PER_PIXEL["ffv1"] * pixels / 8 if is_animation else output_bytes_per_frame
    bytes_per_frame = finished_bytes / finished_frames if finished_frames else estimate
    segments = bytes_per_frame * max(info.frame_count, finished_frames)
    output = output_bytes_per_frame * info.frame_count if is_animation else segments
    others = source_bytes / 10 if plan.carried else 0
    return segments - finished_bytes + output + others


def bits_per_pixel(encoder: Encoder, options: Mapping[str, str]) -> float:
    """Return the estimated bits per pixel of stylized frames with these options of the encoder."""
    default = BITS_PER_PIXEL.get(encoder.codec, BITS_PER_PIXEL["h264"])
    steps, option = _STEPS_TO_DOUBLE.get(encoder.codec), encoder.quality_option
    if steps is None or option is None:
        return default
    return float(default * 2 ** ((encoder.quality[0] - int(options[option])) / steps))


def size_text(count: float) -> str:
    """Return a number of bytes for users."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count, 1e5) / 1e6:.1f} MB"
