"""The video encoders that can be used: pixel formats, quality, presets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import av

from pipeline.config import EncodeConfig
from pipeline.media.containers import Container, container_for


@dataclass(frozen=True, slots=True)
class Encoder:
    """One of FFmpeg's video encoders, and how it is used here.

    Attributes:
        name: FFmpeg's name of the encoder.
        codec: the codec's usual name.
        pixel_format: for 8-bit frames.
        odd_pixel_format: for 8-bit frames of odd width or height; None if it cannot encode these.
        high_depth_format: for 16-bit frames; None if it only encodes 8 bits.
        odd_high_depth_format: for 16-bit frames of odd width or height.
        alpha_format: for frames with alpha, of any size; None if it does not support alpha.
        alpha_high_depth_format: for 16-bit frames with alpha.
        alpha_containers: muxers that keep its alpha; None if all do that support the codec.
        alpha_presets: presets that keep its alpha, the default first; empty if all do.
        quality_option: name of the constant quality option; None if there is none.
        quality: default, smallest and largest value of that option.
        preset_option: name of the option set by ``--preset``; None if there is none.
        preset: default preset.
        presets: all presets, in the encoder's own names.
        options: further options.
        is_hardware: whether it needs a device.
    """

    name: str
    codec: str
    pixel_format: str = "yuv420p"
    odd_pixel_format: str | None = "yuv444p"
    high_depth_format: str | None = None
    odd_high_depth_format: str | None = None
    alpha_format: str | None = None
    alpha_high_depth_format: str | None = None
    alpha_containers: tuple[str, ...] | None = None
    alpha_presets: tuple[str, ...] = ()
    quality_option: str | None = "crf"
    quality: tuple[int, int, int] = (0, 0, 0)
    preset_option: str | None = "preset"
    preset: str | None = None
    presets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_hardware: bool = False

    def pixel_format_for(self, *, is_odd: bool, is_16_bit: bool, has_alpha: bool) -> str | None:
        """Return the pixel format that keeps most of such frames; None if the encoder cannot write them.

        Not every build of FFmpeg has an encoder with all its depths: libvpx often lacks 10 bits.
        """
        formats = [self.odd_pixel_format if is_odd else self.pixel_format]
        if is_16_bit:
            formats.append(self.odd_high_depth_format if is_odd else self.high_depth_format)
        if has_alpha:
            formats.append(self.alpha_format)
            if is_16_bit:
                formats.append(self.alpha_high_depth_format)
        offered = {offer.name for offer in av.Codec(self.name, "w").video_formats or ()}
        return next((each for each in reversed(formats) if each and (not offered or each in offered)), formats[0])


_X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_PRORES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")
_WEBP = ("default", "picture", "photo", "drawing", "icon", "text")


def _nvenc(name: str, codec: str, odd_pixel_format: str | None, high_depth_format: str | None) -> Encoder:
    return Encoder(
        name,
        codec,
        odd_pixel_format=odd_pixel_format,
        high_depth_format=high_depth_format,
        quality_option="cq",
        quality=(24, 1, 51),
        preset="p5",
        presets=("p1", "p2", "p3", "p4", "p5", "p6", "p7"),
        options={"rc": "vbr"},
        is_hardware=True,
    )


_ENCODERS = (
    Encoder(
        "libx264",
        "h264",
        high_depth_format="yuv420p10le",
        odd_high_depth_format="yuv444p10le",
        quality=(20, 0, 51),
        preset="superfast",
        presets=_X26X,
    ),
    Encoder(
        "libx265",
        "h265",
        high_depth_format="yuv420p10le",
        odd_high_depth_format="yuv444p10le",
        quality=(23, 0, 51),
        preset="veryfast",
        presets=_X26X,
        options={"x265-params": "log-level=none"},
    ),
    Encoder(
        "libsvtav1",
        "av1",
        odd_pixel_format="yuv420p",
        high_depth_format="yuv420p10le",
        odd_high_depth_format="yuv420p10le",
        quality=(30, 1, 63),
        preset="9",
        presets=tuple(map(str, range(14))),
    ),
    Encoder(
        "libvpx-vp9",
        "vp9",
        odd_pixel_format="yuv420p",
        high_depth_format="yuv420p10le",
        odd_high_depth_format="yuv420p10le",
        alpha_format="yuva420p",
        alpha_containers=("matroska", "webm"),
        quality=(30, 0, 63),
        preset_option="cpu-used",
        preset="5",
        presets=tuple(map(str, range(9))),
        options={"deadline": "realtime", "row-mt": "1"},
    ),
    Encoder(
        "prores_ks",
        "prores",
        "yuv422p10le",
        "yuv444p10le",
        "yuv422p10le",
        "yuv444p10le",
        "yuva444p10le",
        "yuva444p10le",
        alpha_presets=("4444", "4444xq"),
        quality_option=None,
        preset_option="profile",
        preset="hq",
        presets=_PRORES,
    ),
    Encoder(
        "ffv1",
        "ffv1",
        "bgr0",
        "bgr0",
        "gbrp12le",  # 10 bits of YUV need 12 in RGB to come back unchanged
        "gbrp12le",
        "bgra",
        "gbrap12le",
        quality_option=None,
        preset_option=None,
        options={"slicecrc": "1"},
    ),
    Encoder("gif", "gif", "pal8", "pal8", quality_option=None, preset_option=None),
    Encoder(
        "libwebp_anim",
        "webp",
        "bgra",
        "bgra",
        alpha_format="bgra",
        quality_option="quality",
        quality=(80, 0, 100),
        preset="picture",
        presets=_WEBP,
    ),
    _nvenc("h264_nvenc", "h264", "yuv444p", None),
    _nvenc("hevc_nvenc", "h265", "yuv444p", "p010le"),
    _nvenc("av1_nvenc", "av1", None, "p010le"),
)

ENCODERS: Mapping[str, Encoder] = MappingProxyType({encoder.name: encoder for encoder in _ENCODERS})
# Hardware encoders are chosen by their own name only.
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
