"""The encoders that are offered, what their quality and presets mean, and which a container takes by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType

import av


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder of FFmpeg, as far as it is set from outside.

    Attributes:
        name: FFmpeg's name.
        codec: the name users know.
        pixel_format: what it is given.
        odd_pixel_format: what it is given where width or height is odd; None where it cannot do that.
        deep_pixel_format: what it is given of pictures of 16 bits; None where it takes 8 alone.
        odd_deep_pixel_format: the same where width or height is odd.
        alpha_pixel_format: what it is given of pictures with an alpha, odd ones too; None where it knows none.
        deep_alpha_pixel_format: what it is given of pictures of 16 bits with an alpha.
        alpha_containers: the muxers that keep its alpha; None where all do that hold it.
        alpha_presets: the presets that keep it, the default first; empty where all do.
        quality_option: name of the option for constant quality; None where there is none.
        quality: default, smallest and largest value of that option.
        preset_option: name of the option behind ``--preset``; None where there is none.
        preset: its default.
        presets: all that it knows, in the encoder's own words.
        options: further options.
        is_hardware: needs a device, and is asked whether it finds one.
    """

    name: str
    codec: str
    pixel_format: str = "yuv420p"
    odd_pixel_format: str | None = "yuv444p"
    deep_pixel_format: str | None = None
    odd_deep_pixel_format: str | None = None
    alpha_pixel_format: str | None = None
    deep_alpha_pixel_format: str | None = None
    alpha_containers: tuple[str, ...] | None = None
    alpha_presets: tuple[str, ...] = ()
    quality_option: str | None = "crf"
    quality: tuple[int, int, int] = (0, 0, 0)
    preset_option: str | None = "preset"
    preset: str | None = None
    presets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_hardware: bool = False

    def format_for(self, *, is_odd: bool, is_deep: bool, has_alpha: bool) -> str | None:
        """What it is given of such pictures, as much of them as it can hold; None where it cannot write them.

        Not every build of FFmpeg has an encoder with all its depths: libvpx is often without 10 bits.
        """
        kinds = [self.odd_pixel_format if is_odd else self.pixel_format]
        if is_deep:
            kinds.append(self.odd_deep_pixel_format if is_odd else self.deep_pixel_format)
        if has_alpha:
            kinds.append(self.alpha_pixel_format)
            if is_deep:
                kinds.append(self.deep_alpha_pixel_format)
        offered = {offer.name for offer in av.Codec(self.name, "w").video_formats or ()}
        return next((kind for kind in reversed(kinds) if kind and (not offered or kind in offered)), kinds[0])


_X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_PRORES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")
_WEBP = ("default", "picture", "photo", "drawing", "icon", "text")


def _numbers(smallest: int, largest: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(smallest, largest + 1))


def _nvenc(name: str, codec: str, odd_pixel_format: str | None, deep_pixel_format: str | None) -> Encoder:
    return Encoder(
        name,
        codec,
        odd_pixel_format=odd_pixel_format,
        deep_pixel_format=deep_pixel_format,
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
        deep_pixel_format="yuv420p10le",
        odd_deep_pixel_format="yuv444p10le",
        quality=(20, 0, 51),
        preset="superfast",
        presets=_X26X,
    ),
    Encoder(
        "libx265",
        "h265",
        deep_pixel_format="yuv420p10le",
        odd_deep_pixel_format="yuv444p10le",
        quality=(23, 0, 51),
        preset="veryfast",
        presets=_X26X,
        options={"x265-params": "log-level=none"},
    ),
    Encoder(
        "libsvtav1",
        "av1",
        odd_pixel_format="yuv420p",
        deep_pixel_format="yuv420p10le",
        odd_deep_pixel_format="yuv420p10le",
        quality=(30, 1, 63),
        preset="9",
        presets=_numbers(0, 13),
    ),
    Encoder(
        "libvpx-vp9",
        "vp9",
        odd_pixel_format="yuv420p",
        deep_pixel_format="yuv420p10le",
        odd_deep_pixel_format="yuv420p10le",
        alpha_pixel_format="yuva420p",
        alpha_containers=("matroska", "webm"),
        quality=(30, 0, 63),
        preset_option="cpu-used",
        preset="5",
        presets=_numbers(0, 8),
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
        "gbrp12le",  # 10 bits of YUV need as many in RGB to come back unchanged
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
        alpha_pixel_format="bgra",
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
# An encoder in hardware is taken by its own name alone.
CODECS: Mapping[str, Encoder] = MappingProxyType(
    {encoder.codec: encoder for encoder in _ENCODERS if not encoder.is_hardware}
)

# Muxer, codecs of picture and sound that `auto` and transcoding take.
_CONTAINERS = {
    ".mp4": ("mp4", "h264", "aac"),
    ".m4v": ("mp4", "h264", "aac"),
    ".mov": ("mov", "h264", "aac"),
    ".mkv": ("matroska", "h264", "aac"),
    ".webm": ("webm", "vp9", "libopus"),
    ".gif": ("gif", "gif", None),
    ".webp": ("webp", "webp", None),
}


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file that is written.

    Attributes:
        name: FFmpeg's name of the muxer.
        suffix: of the file name, with its dot; ``.mkv`` for a pipe.
        codec: what ``auto`` takes for the picture.
        audio_encoder: what sound is transcoded with where its packets cannot be copied; None without sound.
    """

    name: str
    suffix: str
    codec: str
    audio_encoder: str | None


def container_for(target: str) -> Container:
    """The container that the name ``target`` asks for; a pipe (``-``) carries Matroska.

    Raises:
        ValueError: no container that is written goes by such a name.
    """
    suffix = ".mkv" if target == "-" else PurePath(target).suffix.lower()
    if suffix == ".avi":
        raise ValueError("avi holds neither exact times nor a late start of sound; use .mkv, .mp4 or .mov")
    if suffix not in _CONTAINERS:
        ending = f"the ending {suffix!r}" if suffix else "a name without an ending"
        raise ValueError(f"{ending} names no container that is written; use one of {' '.join(_CONTAINERS)}")
    name, codec, audio_encoder = _CONTAINERS[suffix]
    return Container(name, suffix, codec, audio_encoder)


def encoder_for(codec: str, container: Container) -> Encoder:
    """The encoder behind ``auto``, a codec's or an encoder's name.

    Raises:
        ValueError: no such codec is offered.
    """
    wanted = container.codec if codec == "auto" else codec
    encoder = CODECS.get(wanted) or ENCODERS.get(wanted)
    if encoder is None:
        raise ValueError(f"unknown codec {codec!r}; use auto, {', '.join(CODECS)} or one of {', '.join(ENCODERS)}")
    return encoder


def encoder_options(encoder: Encoder, quality: int | None, preset: str | None) -> dict[str, str]:
    """The options with which ``encoder`` is opened.

    Raises:
        ValueError: a quality or preset is given that the encoder does not have.
    """
    options = dict(encoder.options)
    if encoder.quality_option is None and quality is not None:
        raise ValueError(f"{encoder.name} has no constant quality; leave --quality out")
    if encoder.quality_option is not None:
        default, smallest, largest = encoder.quality
        value = default if quality is None else quality
        if not smallest <= value <= largest:
            raise ValueError(f"quality of {encoder.name} goes from {smallest} to {largest}, not {value}")
        options[encoder.quality_option] = str(value)
    if encoder.preset_option is None and preset is not None:
        raise ValueError(f"{encoder.name} has no presets; leave --preset out")
    if encoder.preset_option is not None:
        if preset is not None and preset not in encoder.presets:
            raise ValueError(f"preset of {encoder.name} is one of {', '.join(encoder.presets)}, not {preset!r}")
        options[encoder.preset_option] = str(preset or encoder.preset)
    return options
