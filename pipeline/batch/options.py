"""The options of `flowbrush video` by name, as a job file or a command line gives them, and what they configure."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from math import isfinite
from typing import Any

from pipeline.arguments import read_seconds
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.media.codecs import encoder_for, encoder_options
from pipeline.media.containers import container_for
from pipeline.style_spec import parse_blend
from pipeline.stylize.memory_budget import read_size


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be a number, not {value!r}")
    with suppress(ValueError, OverflowError):
        if isfinite(number := float(value)):
            return number
    raise ValueError(f"must be a number, not {value!r}")


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"must be a whole number, not {value!r}")
    return int(number)


def _yes(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise ValueError(f"must be true or false, not {value!r}")
    return words[str(value).lower()]


def _no(value: object) -> bool:
    return not _yes(value)


def _time(value: object) -> Fraction | None:
    return Fraction(str(_number(value))) if isinstance(value, int | float) else read_seconds(_text(value))


def _size(value: object) -> int:
    return _whole(value) if isinstance(value, int | float) else read_size(_text(value))


@dataclass(frozen=True, slots=True)
class Option:
    """One option of `flowbrush video`.

    Attributes:
        part: of `VideoConfig` that holds it; empty for itself.
        field: there.
        read: turns text, or a number, into its value.
    """

    part: str
    field: str
    read: Callable[[object], Any]


OPTIONS: Mapping[str, Option] = {
    "style": Option("stylize", "style", _text),
    "style_end": Option("stylize", "style_end", _text),
    "strength": Option("stylize", "strength", _number),
    "keep_colors": Option("stylize", "keep_colors", _yes),
    "stroke_size": Option("stylize", "stroke_size", _number),
    "stability": Option("stylize", "stability", _text),
    "device": Option("stylize", "device", _text),
    "precision": Option("stylize", "precision", _text),
    "engine": Option("stylize", "engine", _text),
    "compare": Option("stylize", "compare", _text),
    "max_memory": Option("stylize", "max_memory", _size),
    "start": Option("decode", "start_seconds", _time),
    "duration": Option("decode", "duration_seconds", _time),
    "height": Option("decode", "height", _whole),
    "strict": Option("decode", "strict", _yes),
    "codec": Option("encode", "codec", _text),
    "quality": Option("encode", "quality", _whole),
    "preset": Option("encode", "preset", _text),
    "overwrite": Option("encode", "overwrite", _yes),
    "streams": Option("encode", "streams", _text),
    "mask": Option("", "mask", _text),
    "fresh": Option("", "fresh", _yes),
    "no_tag": Option("", "tag", _no),
}


def option_named(text: str) -> str:
    """The name in `OPTIONS` that ``text`` means, with ``-`` or ``_``.

    Raises:
        ValueError: there is no such option.
    """
    name = text.strip().lower().lstrip("-").replace("-", "_")
    if name not in OPTIONS:
        near = get_close_matches(name, OPTIONS, 1)
        raise ValueError(f"there is no option {text!r}{f'; is {near[0]} meant?' if near else ''}")
    return name


def read_styles(texts: Sequence[str]) -> tuple[str, ...]:
    """Styles of ``a,b``: each for itself, but parts with weights (``a:0.7,b:0.3``) are one blend.

    Raises:
        ValueError: a blend that cannot be read.
    """
    styles: list[str] = []
    for text in texts:
        names = [part.style for part in parse_blend(text)]
        has_weights = ",".join(names) != re.sub(r"\s*,\s*", ",", text.strip())
        styles.extend([text] if has_weights else names)
    return tuple(dict.fromkeys(styles))


def video_config(source: str, target: str, options: Mapping[str, object]) -> VideoConfig:
    """What `flowbrush video` would do with ``options``.

    Args:
        source: path of the clip.
        target: path of the output.
        options: values by the names of `OPTIONS`, ``style`` among them; None and empty text count as not given.

    Raises:
        ValueError: a value that the option does not take, or a codec, quality or preset that does not exist.
    """
    given: dict[str, dict[str, Any]] = {"stylize": {}, "decode": {}, "encode": {}, "": {}}
    for name, value in options.items():
        if value is None or value == "":
            continue
        option = OPTIONS[option_named(name)]
        try:
            given[option.part][option.field] = option.read(value)
        except ValueError as error:
            raise ValueError(f"{name.replace('_', ' ')} {error}") from error
    config = VideoConfig(
        source=source,
        target=target,
        stylize=StylizeConfig(**given["stylize"]),
        decode=DecodeConfig(**given["decode"]),
        encode=EncodeConfig(**given["encode"]),
        **given[""],
    )
    container = container_for(target)
    encode = config.encode
    encoder_options(encoder_for(encode.codec, container), encode.quality, encode.preset)
    return config


def without_fresh(config: VideoConfig) -> VideoConfig:
    """The same, going on with what is kept: a second attempt is not to throw away the first."""
    return replace(config, fresh=False)
