"""The description of a video: what its header and its first frame say, for the frames that will be decoded."""

from fractions import Fraction

from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig
from pipeline.decode.open import check_frame_size
from pipeline.decode.reader import Header
from pipeline.frames import VideoInfo
from pipeline.media.hardware import software_reason
from pipeline.media.pixels.alpha import is_transparent
from pipeline.media.pixels.bit_depth import bit_depth
from pipeline.media.pixels.colorspace import hdr_transfer, peak_nits, pipeline_color, source_color
from pipeline.media.pixels.deinterlace import is_interlaced
from pipeline.media.pixels.orientation import is_flipped
from pipeline.media.pixels.samples import find_siting


def describe_video(
    path: str, header: Header, config: DecodeConfig, first: VideoFrame, *, keep_alpha_and_depth: bool
) -> VideoInfo:
    """Return the description of the frames from ``first`` on, upright and scaled as ``config`` asks for.

    Raises:
        InputError: the scaled frames are too large.
    """
    rotation = round(first.rotation / 90) * 90 % 360
    width, height = first.width, first.height
    aspect = header.sample_aspect_ratio
    if not min(width * aspect, height / aspect) >= 1:  # a frame of less than a pixel: FFmpeg ignores it too
        aspect = Fraction(1)
    if rotation in (90, 270):
        width, height, aspect = height, width, 1 / aspect
    if config.height is not None and config.height != height:
        width, height = max(round(width * config.height / height / 2) * 2, 2), config.height
        check_frame_size(path, width, height, what=f"has with --height {height}")
    seconds, count = _wanted_length(header, config)
    color = source_color(first)
    fault = software_reason(config.hwaccel, first, header.codec)
    is_on_gpu = fault is None and config.hwaccel != "none"
    is_plain = (rotation, is_flipped(first), config.height in (None, first.height)) == (0, False, True)
    return VideoInfo(
        path=path,
        container=header.container,
        codec=header.codec,
        width=width,
        height=height,
        rotation=rotation,
        sample_aspect_ratio=aspect,
        time_base=header.time_base,
        average_rate=header.average_rate,
        frame_count=count,
        duration_seconds=seconds,
        color=pipeline_color(color),
        flipped=is_flipped(first),
        is_16_bit=keep_alpha_and_depth and bit_depth(first.format.name) > 8,
        has_alpha=keep_alpha_and_depth and is_transparent(first, header.codec),
        interlaced=first.interlaced_frame or (header.video is not None and is_interlaced(header.video)),
        tone_mapped_from=hdr_transfer(color),
        peak_nits=peak_nits(first),
        hwaccel="cuda" if is_on_gpu else None,
        hwaccel_fault=fault,
        siting=find_siting(first) if is_on_gpu and is_plain else None,
    )


def _wanted_length(header: Header, config: DecodeConfig) -> tuple[float | None, int | None]:
    """Return seconds and number of frames of the wanted part, according to the header."""
    total, count = header.duration_seconds, header.frame_count
    if not total:
        return None if config.duration_seconds is None else float(config.duration_seconds), count
    seconds = max(total - float(config.start_seconds or 0), 0.0)
    if config.duration_seconds is not None:
        seconds = min(seconds, float(config.duration_seconds))
    if count is None and header.average_rate is not None:
        count = round(total * header.average_rate)
        if header.most_frames is not None and count > header.most_frames:
            count = None  # the header is wrong, or frames last longer than on average
    return seconds, None if count is None else max(round(count * seconds / total), 1)
