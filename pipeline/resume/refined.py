"""Refined styles of pictures: weight files that replace the pictures in the settings of a render."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.config import StylizeConfig
from pipeline.config.style_spec import is_picture, parse_style, rename_styles

Refine = Callable[[Path, Path], bytes]
"""Called as ``refine(picture, preview)``; returns the content of a weight file, draws into ``preview`` meanwhile."""


def pictures_of(stylize: StylizeConfig) -> list[str]:
    """Return the pictures among the styles, each once."""
    specs = [spec for spec in (stylize.style, stylize.style_end) if spec]
    styles = dict.fromkeys(part.style for spec in specs for part in parse_style(spec))
    return [style for style in styles if is_picture(style)]


def with_styles(stylize: StylizeConfig, files: Mapping[str, str]) -> StylizeConfig:
    """Return the settings with weight files in place of pictures; dials have done their work then."""

    def rename(style: str) -> str:
        return files.get(style, style)

    end = stylize.style_end
    return replace(
        stylize,
        style=rename_styles(stylize.style, rename),
        style_end=None if end is None else rename_styles(end, rename),
        paint=1.0,
        stillness=1.0,
    )
