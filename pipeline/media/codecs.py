"""The video encoders that can be used: pixel formats, quality, presets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import av

from pipeline.config import EncodeConfig
from pipeline.media.containers import Container, container_for


class PixelFormats(NamedTuple):
    """FFmpeg's names of the pixel formats that an encoder is given; None if it does not support such frames.

    Attributes:
        even: for 8-bit frames of even width and height.
        odd: for 8-bit frames of odd width or height.
        even_16: for 16-bit frames of even width and height.
        odd_16: for 16-bit frames of odd width or height.
        alpha: for 8-bit frames with alpha, of any size.
        alpha_16: for 16-bit frames with alpha, of any size.
    """

    even: str = "yuv420p"
    odd: str | None = "yuv444p"
    even_16: str | None = None
    odd_16: str | None = None
    alpha: str | None = None
    alpha_16: str | None = None


@dataclass(frozen=True, slots=True)
class Encoder:
    """One of FFmpeg's video encoders, and how it is used here.

    Attributes:
        name: FFmpeg's name of the encoder.
        codec: the codec's usual name.
        formats: the pixel formats for each kind of frames.
        quality: default, smallest and largest value of ``quality_option``.
        quality_option: name of the option for constant quality; None if there is none.
        preset: default preset.
        presets: all presets, in the encoder's own names.
        preset_option: name of the option set by ``--preset``; None if there is none.
        options: further options.
        alpha_containers: muxers that keep its alpha; None if all do that support the codec.
        alpha_presets: presets that keep its alpha, the default first; empty if all do.
        is_hardware: whether it needs a device.
    """

    name: str
    codec: str
    formats: PixelFormats
    quality: tuple[int, int, int] = (0, 0, 0)
    quality_option: str | None = "crf"
    preset: str | None = None
    presets: tuple[str, ...] = ()
    preset_option: str | None = "preset"
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    alpha_containers: tuple[str, ...] | None = None
    alpha_presets: tuple[str, ...] = ()
    is_hardware: bool = False

    def pixel_format_for(self, *, is_odd: bool, is_16_bit: bool, has_alpha: bool) -> str | None:
        """Return the pixel format that keeps most of such frames; None if the encoder cannot write them.

        Not every build of FFmpeg has an encoder with all its depths: libvpx often lacks 10 bits.
        """
        even, odd, even_16, odd_16, alpha, alpha_16 = self.formats
        plain, deep = (odd, odd_16) if is_odd else (even, even_16)
        with_alpha = (alpha_16 if is_16_bit else None, alpha) if has_alpha else ()
        best_first = (*with_alpha, deep if is_16_bit else None, plain)
        offered = {offer.name for offer in av.Codec(self.name, "w").video_formats or ()}
        return next((each for each in best_first if each and (not offered or each in offered)), plain)


_X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_PRORES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")
_WEBP = ("default", "picture", "photo", "drawing", "icon", "text")

_10_BIT = PixelFormats("yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le")
_10_BIT_420 = PixelFormats("yuv420p", "yuv420p", "yuv420p10le", "yuv420p10le")
_10_BIT_422 = PixelFormats("yuv422p10le", "yuv444p10le", "yuv422p10le", "yuv444p10le", "yuva444p10le", "yuva444p10le")
# 10 bits of YUV need 12 in RGB to come back unchanged.
_12_BIT_RGB = PixelFormats("bgr0", "bgr0", "gbrp12le", "gbrp12le", "bgra", "gbrap12le")


def _nvenc(name: str, codec: str, formats: PixelFormats) -> Encoder:
    presets = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
    return Encoder(name, codec, formats, (24, 1, 51), "cq", "p5", presets, options={"rc": "vbr"}, is_hardware=True)


_ENCODERS = (
    Encoder("libx264", "h264", _10_BIT, (20, 0, 51), preset="superfast", presets=_X26X),
    Encoder(
        "libx265",
        "h265",
        _10_BIT,
        (23, 0, 51),
        preset="veryfast",
        presets=_X26X,
        options={"x265-params": "log-level=none"},
    ),
    Encoder("libsvtav1", "av1", _10_BIT_420, (30, 1, 63), preset="9", presets=tuple(map(str, range(14)))),
    Encoder(
        "libvpx-vp9",
        "vp9",
        _10_BIT_420._replace(alpha="yuva420p"),
        (30, 0, 63),
        preset="5",
        presets=tuple(map(str, range(9))),
        preset_option="cpu-used",
        options={"deadline": "realtime", "row-mt": "1"},
        alpha_containers=("matroska", "webm"),
    ),
    Encoder(
        "prores_ks",
        "prores",
        _10_BIT_422,
        quality_option=None,
        preset="hq",
        presets=_PRORES,
        preset_option="profile",
        alpha_presets=("4444", "4444xq"),
    ),
    Encoder("ffv1", "ffv1", _12_BIT_RGB, quality_option=None, preset_option=None, options={"slicecrc": "1"}),
    Encoder("gif", "gif", PixelFormats("pal8", "pal8"), quality_option=None, preset_option=None),
    Encoder(
        "libwebp_anim",
        "webp",
        PixelFormats("bgra", "bgra", alpha="bgra"),
        (80, 0, 100),
        "quality",
        preset="picture",
        presets=_WEBP,
    ),
    _nvenc("h264_nvenc", "h264", PixelFormats()),
    _nvenc("hevc_nvenc", "h265", PixelFormats(even_16="p010le")),
    _nvenc("av1_nvenc", "av1", PixelFormats(odd=None, even_16="p010le")),
)

ENCODERS: Mapping[str, Encoder] = MappingProxyType({encoder.name: encoder for encoder in _ENCODERS})
# Hardware encoders are chosen by their own name only, and replaced by these where they do not work.
CODECS: Mapping[str, Encoder] = MappingProxyType(
    {encoder.codec: encoder for encoder in _ENCODERS if not encoder.is_hardware}
)


def encoder_for(codec: str, container: Container) -> Encoder:
    """Return the encoder of ``codec``: ``auto``, the name of a codec, or that of an encoder.

    Raises:
        ValueError: there is no such codec.
    """
    name = container.codec if codec == "auto" else codec
    encoder = CODECS.get(name) or ENCODERS.get(name)
    if encoder is None:
        raise ValueError(f"unknown codec {codec!r}; use auto, {', '.join(CODECS)} or one of {', '.join(ENCODERS)}")
    return encoder


def in_software(encoder: Encoder, config: EncodeConfig) -> EncodeConfig:
    """Return ``config``, which is for the hardware encoder ``encoder``, for the software encoder of the same codec.

    A quality is as many steps better than the default as before, on the software's scale; presets have no counterpart.
    """
    software, quality = CODECS[encoder.codec], config.quality
    if quality is not None:
        (default, _, largest), (other_default, other_smallest, other_largest) = encoder.quality, software.quality
        moved = round(other_default + (quality - default) * other_largest / largest)
        quality = min(max(moved, other_smallest), other_largest)
    return replace(config, codec=encoder.codec, quality=quality, preset=None)


def check_encoder(target: str, config: EncodeConfig) -> None:
    """Raise ValueError if there is no such codec, quality or preset; a wrong ``target`` is left to `container_for`."""
    try:
        container = container_for(target)
    except ValueError:
        return
    encoder_options(encoder_for(config.codec, container), config.quality, config.preset)


def encoder_options(encoder: Encoder, quality: int | None, preset: str | None) -> dict[str, str]:
    """Return the options to open ``encoder`` with; None chooses its default quality or preset.

    Raises:
        ValueError: the encoder does not support this quality or preset.
    """
    options = dict(encoder.options)
    if encoder.quality_option is None:
        if quality is not None:
            raise ValueError(f"{encoder.name} has no constant quality; leave --quality out")
    else:
        default, smallest, largest = encoder.quality
        value = default if quality is None else quality
        if not smallest <= value <= largest:
            raise ValueError(f"the quality of {encoder.name} must be {smallest} to {largest}, not {value}")
        options[encoder.quality_option] = str(value)
    if encoder.preset_option is None:
        if preset is not None:
            raise ValueError(f"{encoder.name} has no presets; leave --preset out")
    else:
        if preset is not None and preset not in encoder.presets:
            raise ValueError(
                f"the preset of {encoder.name} must be one of {', '.join(encoder.presets)}, not {preset!r}"
            )
        options[encoder.preset_option] = str(preset or encoder.preset)
    return options
