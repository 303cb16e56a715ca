"""How much room a render will need, found out before it begins: segments, and the output that is made of them."""

import os
import shutil
from collections.abc import Callable, Mapping

from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import OutputError
from pipeline.frames import VideoInfo
from pipeline.media.codecs import Encoder
from pipeline.resume.manifest import Manifest

# Bits a pixel of painted frames at the encoder's default quality: 45 of the sample clip harbor in great-wave, 320x180;
# larger ones take less.
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
# So many steps of constant quality double the size.
_STEPS_TO_DOUBLE = {"h264": 6, "h265": 6, "av1": 8, "vp9": 8}
# What is estimated may be wrong by so much: less room than this share of it is refused.
_CLEARLY_TOO_LITTLE = 0.15


def check_space(
    folder: str,
    manifest: Manifest,
    plan: OutputPlan,
    info: VideoInfo,
    source_bytes: int,
    notify: Callable[[str], None],
    *,
    freed_bytes: int = 0,
) -> None:
    """Compare the room on the disk with what is still to be written.

    Args:
        folder: where the segments are kept.
        manifest: of what is there already.
        plan: of the output.
        info: of the source.
        source_bytes: its size, of which the streams besides the picture are a part.
        notify: called where it may not suffice.
        freed_bytes: of what will be removed before anything is written.

    Raises:
        OutputError: it clearly does not.
    """
    needed = _needed_bytes(manifest, plan, info, source_bytes)
    try:
        free = shutil.disk_usage(folder).free + freed_bytes
    except OSError:
        return
    if needed is None or needed <= free:
        return
    text = f"about {size_text(needed)} are needed for segments and output, {size_text(free)} are free"
    if free < _CLEARLY_TOO_LITTLE * needed:
        raise OutputError(plan.target, f"{text}; make room, or choose another disk, --codec or --quality")
    notify(f"{text} on the disk of {os.path.basename(plan.target)}: it may become full")


def _needed_bytes(manifest: Manifest, plan: OutputPlan, info: VideoInfo, source_bytes: int) -> float | None:
    if not info.frame_count:
        return None
    kept = sum(segment.bytes for segment in manifest.segments)
    usual = _of_segments(plan) * plan.width * plan.height / 8
    a_frame = kept / manifest.frames if manifest.frames else usual  # measured on this very clip, or usual
    segments = a_frame * max(info.frame_count, manifest.frames)
    output = segments
    if plan.container.name in ("gif", "webp"):
        output = bits_per_pixel(plan.encoder, plan.options) * plan.width * plan.height * info.frame_count / 8
    others = source_bytes / 10 if plan.carried else 0
    return segments - kept + output + others


def _of_segments(plan: OutputPlan) -> float:
    """Those of animations are written without loss."""
    is_lossless = plan.container.name in ("gif", "webp")
    return BITS_PER_PIXEL["ffv1"] if is_lossless else bits_per_pixel(plan.encoder, plan.options)


def bits_per_pixel(encoder: Encoder, options: Mapping[str, str]) -> float:
    """How many bits a pixel of a painted frame takes, roughly, with these options of the encoder."""
    usual = BITS_PER_PIXEL.get(encoder.codec, BITS_PER_PIXEL["h264"])
    steps, option = _STEPS_TO_DOUBLE.get(encoder.codec), encoder.quality_option
    if steps is None or option is None:
        return usual
    return float(usual * 2 ** ((encoder.quality[0] - int(options[option])) / steps))


def size_text(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count, 1e5) / 1e6:.1f} MB"
