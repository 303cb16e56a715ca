"""What an output's samples will be: format, colours, alpha; and what is said of each thing that changes on the way."""

from dataclasses import dataclass, replace
from fractions import Fraction

import av

from pipeline.errors import OutputError
from pipeline.frames import Color, VideoInfo
from pipeline.media.alpha import background_grey, has_alpha
from pipeline.media.bit_depth import bit_depth
from pipeline.media.codecs import Encoder
from pipeline.media.colorspace import BT2020, RGB, output_color
from pipeline.media.containers import Container

# Faster than any GIF player shows.
_MOST_GIF_FPS = 50


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """How pictures are written.

    Attributes:
        pixel_format: FFmpeg's name of what the encoder is given.
        preset: of the encoder; None for its default.
        color: how the samples are written, and tagged.
        background: the grey, 0 or 255, that transparent pictures are laid over where the format has no alpha.
        notices: what the user should know, a line each.
    """

    pixel_format: str
    preset: str | None
    color: Color
    background: int
    notices: tuple[str, ...]


def plan_picture(
    target: str, info: VideoInfo, encoder: Encoder, container: Container, preset: str | None, size: tuple[int, int]
) -> PicturePlan:
    """Choose what keeps as much of the source's pictures as encoder and container can hold.

    Args:
        target: the output as the user named it.
        info: of the source.
        encoder: of the picture.
        container: of the output.
        preset: that was asked for.
        size: width and height of the frames that will come.

    Raises:
        OutputError: the encoder cannot write frames of this size.
    """
    keeps_alpha = info.has_alpha and _keeps_alpha(encoder, container, preset)
    if keeps_alpha and encoder.alpha_presets:
        preset = preset or encoder.alpha_presets[0]
    is_odd = any(side % 2 for side in size)
    kind = encoder.pixel_format_for(is_odd=is_odd, is_16_bit=info.is_16_bit, has_alpha=keeps_alpha)
    if kind is None:
        width, height = size
        raise OutputError(target, f"{encoder.name} cannot write {width}x{height}; choose an even --height or h264")
    color = output_color(info.color)
    if av.VideoFormat(kind).is_rgb or kind == "pal8":
        color = replace(color, matrix=RGB, full_range=True)
    notices = (
        *_source_notices(info),
        *_odd_notices(encoder, kind, size),
        *_depth_notices(info, encoder, container, kind),
        *_alpha_notices(info, encoder, container, keeps_alpha),
        *_page_notices(info, container),
    )
    return PicturePlan(kind, preset, color, background_grey(info.container), notices)


def _keeps_alpha(encoder: Encoder, container: Container, preset: str | None) -> bool:
    if encoder.alpha_format is None or (preset and encoder.alpha_presets and preset not in encoder.alpha_presets):
        return False
    return encoder.alpha_containers is None or container.name in encoder.alpha_containers


def _source_notices(info: VideoInfo) -> list[str]:
    notices = []
    if info.interlaced:
        notices.append("the source is interlaced: frames that are so are deinterlaced (bwdif), each into one")
    if info.tone_mapped_from is not None:
        notices.append(f"the source is HDR ({info.tone_mapped_from}): it is tone-mapped to SDR, BT.709")
    return notices


def _odd_notices(encoder: Encoder, kind: str, size: tuple[int, int]) -> list[str]:
    if not any(side % 2 for side in size) or "444" not in kind or "444" in encoder.pixel_format:
        return []
    return [f"{size[0]}x{size[1]} is odd and stays so: written as {kind}, which old players may lack"]


def _depth_notices(info: VideoInfo, encoder: Encoder, container: Container, kind: str) -> list[str]:
    if not info.is_16_bit:
        return []
    if bit_depth(kind) <= 8:
        with_alpha = " with transparency" if has_alpha(kind) and encoder.high_depth_format else ""
        return [f"the source has more than 8 bits, written are 8: {encoder.codec}{with_alpha} holds no more here"]
    if encoder.codec == "h264":
        return ["the source has more than 8 bits and keeps 10: few players show such h264; --codec h265 is safer"]
    return []


def _alpha_notices(info: VideoInfo, encoder: Encoder, container: Container, keeps_alpha: bool) -> list[str]:
    if not info.has_alpha or keeps_alpha:
        return []
    keepers = {"mov": "prores", "matroska": "ffv1 or vp9", "webm": "vp9"}.get(container.name)
    remedy = f"--codec {keepers} keeps it" if keepers else "a .webm keeps it, or a .mov with --codec prores"
    ground = "white" if background_grey(info.container) else "black"
    return [f"transparency is laid over {ground}: {encoder.codec} in {container.suffix} files has none; {remedy}"]


def _page_notices(info: VideoInfo, container: Container) -> list[str]:
    if container.name not in ("gif", "webp"):
        return []
    notices = []
    if container.name == "gif" and (info.average_rate or Fraction(30)) > _MOST_GIF_FPS:
        rate = f"{float(info.average_rate or 30):.3g}"
        notices.append(f"{rate} frames a second are more than GIF players show; they may slow it down")
    if info.color.primaries == BT2020:
        notices.append(f"{container.suffix} files name no colours: those of BT.2020 will look paler than they are")
    return notices
