"""The choice of pixel format, colors and alpha of an output, with a notice for each thing that changes."""

from dataclasses import replace
from fractions import Fraction

import av

from pipeline.errors import OutputError
from pipeline.frames import Color, VideoInfo
from pipeline.media.codecs import Encoder
from pipeline.media.containers import Container
from pipeline.media.pixels.alpha import background_grey, has_alpha
from pipeline.media.pixels.bit_depth import bit_depth
from pipeline.media.pixels.colorspace import BT2020, RGB, output_color

# Common players do not show GIFs faster than this.
_MAX_GIF_FPS = 50


def choose_format(
    target: str, info: VideoInfo, encoder: Encoder, container: Container, preset: str | None, size: tuple[int, int]
) -> tuple[str, str | None, Color, list[str]]:
    """Choose the format for frames of ``size`` (width, height) that keeps most of the source.

    Returns:
        FFmpeg's name of the pixel format, the preset (None for the encoder's default), how samples are written and
        tagged, and what the user should know, one line each.

    Raises:
        OutputError: the encoder cannot encode frames of this size.
    """
    keeps_alpha = info.has_alpha and _keeps_alpha(encoder, container, preset)
    if keeps_alpha and encoder.alpha_presets:
        preset = preset or encoder.alpha_presets[0]
    is_odd = any(side % 2 for side in size)
    pixel_format = encoder.pixel_format_for(is_odd=is_odd, is_16_bit=info.is_16_bit, has_alpha=keeps_alpha)
    if pixel_format is None:
        width, height = size
        raise OutputError(target, f"{encoder.name} cannot encode {width}x{height}; choose an even --height or h264")
    color = output_color(info.color)
    if av.VideoFormat(pixel_format).is_rgb or pixel_format == "pal8":
        color = replace(color, matrix=RGB, full_range=True)
    notices = [
        *_source_notices(info),
        *_odd_size_notices(encoder, pixel_format, size),
        *_depth_notices(info, encoder, pixel_format),
        *([] if keeps_alpha else _alpha_notices(info, encoder, container)),
        *_animation_notices(info, container),
    ]
    return pixel_format, preset, color, notices


def _keeps_alpha(encoder: Encoder, container: Container, preset: str | None) -> bool:
    if encoder.formats.alpha is None or (preset and encoder.alpha_presets and preset not in encoder.alpha_presets):
        return False
    return encoder.alpha_containers is None or container.name in encoder.alpha_containers


def _source_notices(info: VideoInfo) -> list[str]:
    notices = []
    if info.hwaccel_fault is not None:
        notices.append(f"the GPU does not decode the source ({info.hwaccel_fault}): it is decoded in software")
    if info.interlaced:
        notices.append("the source is interlaced: interlaced frames are deinterlaced (bwdif), one frame for each")
    if info.tone_mapped_from is not None:
        notices.append(f"the source is HDR ({info.tone_mapped_from}): it is tone-mapped to SDR, BT.709")
    return notices


def _odd_size_notices(encoder: Encoder, pixel_format: str, size: tuple[int, int]) -> list[str]:
    if not any(side % 2 for side in size) or "444" not in pixel_format or "444" in encoder.formats.even:
        return []
    return [
        f"the odd size {size[0]}x{size[1]} is kept: it is written as {pixel_format}, which old players may not support"
    ]


def _depth_notices(info: VideoInfo, encoder: Encoder, pixel_format: str) -> list[str]:
    if not info.is_16_bit:
        return []
    if bit_depth(pixel_format) <= 8:
        with_alpha = " with transparency" if has_alpha(pixel_format) and encoder.formats.even_16 else ""
        return [f"the source has more than 8 bits, the output has 8: {encoder.codec}{with_alpha} supports no more here"]
    if encoder.codec == "h264":
        return ["the source has more than 8 bits, the output has 10: few players support such h264; use --codec h265"]
    return []


def _alpha_notices(info: VideoInfo, encoder: Encoder, container: Container) -> list[str]:
    if not info.has_alpha:
        return []
    codecs = {"mov": "prores", "matroska": "ffv1 or vp9", "webm": "vp9"}.get(container.name)
    remedy = f"--codec {codecs} keeps it" if codecs else "a .webm keeps it, or a .mov with --codec prores"
    color = "white" if background_grey(info.container) else "black"
    return [f"transparency is composited over {color}: {encoder.codec} in {container.suffix} has no alpha; {remedy}"]


def _animation_notices(info: VideoInfo, container: Container) -> list[str]:
    if not container.is_animation:
        return []
    notices = []
    rate = info.average_rate or Fraction(30)
    if container.name == "gif" and rate > _MAX_GIF_FPS:
        notices.append(f"{float(rate):.3g} frames per second are more than GIF players show; they may play it slower")
    if info.color.primaries == BT2020:
        notices.append(f"{container.suffix} files have no color tags: the colors of BT.2020 will look paler")
    return notices
