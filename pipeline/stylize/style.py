"""Load the style of a clip: one style, a blend of several, or a fade from one to another."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import LoadedStyle, StyleMetadata, WeightsError, bundled, find, load, read_catalog
from pipeline.config import StylizeConfig
from pipeline.config.style_spec import Dials, is_picture, parse_blend, parse_regions, style_name
from pipeline.errors import InputError, StyleError
from pipeline.frames import VideoInfo
from pipeline.media.style_image import check_picture

if TYPE_CHECKING:
    from models.network import Style, StyleNetwork


@dataclass(frozen=True, slots=True)
class StyleSettings:
    """The network and the style at each moment of a clip.

    Attributes:
        name: for people: ``a``, ``a:0.7,b:0.3``, ``a -> b`` or ``fg:a,bg:b``.
        start: style of the first frame.
        end: style of the last frame; None without a fade.
        end_seconds: time of the last frame in seconds, above 0.
    """

    name: str
    start: LoadedStyle
    end: LoadedStyle | None = None
    end_seconds: float = 1.0

    @property
    def network(self) -> "StyleNetwork":
        """The network, the same for all frames."""
        return self.start.network

    @property
    def has_regions(self) -> bool:
        """Whether there are two styles, for two regions of each frame."""
        from models.network import RegionStyle

        return isinstance(self.start.style, RegionStyle)

    def style(self, seconds: float) -> "Style":
        """Return the style of the frame at ``seconds``."""
        if self.end is None:
            return self.start.style
        return self.start.style.lerp(self.end.style, min(max(seconds / self.end_seconds, 0.0), 1.0))


def bundled_styles() -> tuple[StyleMetadata, ...]:
    """Return the metadata of the styles that are part of the package.

    Raises:
        StyleError: their file is missing or damaged.
    """
    with _style_errors("; reinstall flowbrush"):
        return tuple(catalog.styles[name] for name, catalog in bundled().items())


def styles_in(file: str) -> list[str]:
    """Return the styles of a weight file as ``FILE#NAME``; a name ``FILE#NAME`` returns that style alone.

    Raises:
        StyleError: the file is not a flowbrush weight file, or has no such style.
    """
    with _style_errors():
        if not file.endswith(".safetensors"):
            find(file)
            return [file]
        return [f"{file}#{name}" for name in read_catalog(Path(file)).styles]


def find_style(style: str, style_end: str | None = None) -> StyleMetadata:
    """Return the metadata of a style or blend, or of a fade to ``style_end``; loads no weights and no torch.

    Raises:
        StyleError: there is no such style.
        InputError: a picture cannot be read, or is too small.
        ValueError: the blend cannot be parsed, see `parse_blend`.
    """
    regions = parse_regions(style)
    if regions is not None:
        foreground, background = map(_find_blend, regions)
        return StyleMetadata(f"fg:{foreground.name},bg:{background.name}")
    start = _find_blend(style)
    return start if style_end is None else StyleMetadata(f"{start.name} -> {_find_blend(style_end).name}")


def style_of(config: StylizeConfig) -> StyleMetadata:
    """Return the metadata of what a configuration stylizes with: the style, or the paintings that are optimized for.

    Raises:
        StyleError: there is no such style.
        InputError: a picture cannot be read, or is too small.
    """
    if config.method == "network":
        return find_style(config.style, config.style_end)
    blend = parse_blend(config.painting)
    for part in blend:
        check_picture(Path(part.style))
    names = [style_name(Path(part.style)) or "picture" for part in blend]
    if len(names) == 1:
        return StyleMetadata(names[0])
    return StyleMetadata(",".join(f"{name}:{part.weight:.3g}" for name, part in zip(names, blend, strict=True)))


def load_style_settings(
    style: str, style_end: str | None = None, end_seconds: float | None = None, dials: Dials | None = None
) -> StyleSettings:
    """Load the weights of ``style``, or of a fade from ``style`` to ``style_end``; those of pictures are predicted.

    Args:
        style: see `parse_blend`.
        style_end: see `parse_blend`; None for no fade.
        end_seconds: time of the last frame in seconds, see `last_frame_seconds`; required for a fade.
        dials: how the styles of pictures are predicted.

    Raises:
        StyleError: there is no such style, its weights are unusable, or the styles cannot be mixed.
        InputError: a picture cannot be read, or is too small.
        ValueError: the blend cannot be parsed, or a fade has no end.
    """
    name = find_style(style, style_end).name
    regions = parse_regions(style)
    if regions is not None:
        return StyleSettings(name, _load_regions(name, regions, dials))
    if style_end is None:
        return StyleSettings(name, _load_blend(style, dials))
    if end_seconds is None:
        raise ValueError("a fade needs the time of the last frame")
    from models.blend import check_related

    start, end = _load_blend(style, dials), _load_blend(style_end, dials)
    with _style_errors():
        check_related(start, end)
    return StyleSettings(name, start, end, max(end_seconds, 1e-9))


def last_frame_seconds(info: VideoInfo) -> float:
    """Return the time of the last frame of a clip, or of its selected range, as the header reports it.

    Raises:
        InputError: the header reports no duration, as that of a pipe.
    """
    if not info.duration_seconds:
        raise InputError(
            info.path,
            "its duration is unknown before its end (a pipe, for instance), so --style-end has no end time; "
            "give --duration, or write the input to a file first",
        )
    if info.frame_count:
        return info.duration_seconds * (1 - 1 / info.frame_count)
    return max(info.duration_seconds - float(1 / info.average_rate if info.average_rate else 0), 0.0)


def _find_blend(spec: str) -> StyleMetadata:
    blend = parse_blend(spec)
    found = [_find(part.style) for part in blend]
    if len(found) == 1:
        return found[0]
    return StyleMetadata(",".join(f"{one.name}:{part.weight:.3g}" for one, part in zip(found, blend, strict=True)))


def _find(style: str) -> StyleMetadata:
    if is_picture(style):
        from pipeline.stylize.picture_style import picture_metadata

        return picture_metadata(Path(style))
    with _style_errors():
        return find(style)[1]


def _load_blend(spec: str, dials: Dials | None) -> LoadedStyle:
    from models.blend import blend as mix

    blend = parse_blend(spec)
    loaded = [_load(part.style, dials) for part in blend]
    with _style_errors():
        return loaded[0] if len(loaded) == 1 else mix(loaded, [part.weight for part in blend], _find_blend(spec).name)


def _load_regions(name: str, regions: tuple[str, str], dials: Dials | None) -> LoadedStyle:
    from models.network import RegionStyle

    foreground, background = (_load_blend(blend, dials) for blend in regions)
    if foreground.network != background.network:
        raise StyleError(f"{name}: the styles are for networks of different sizes; choose others")
    both = RegionStyle.of_regions(foreground.style, background.style)
    return LoadedStyle(foreground.network, both, StyleMetadata(name))


def _load(style: str, dials: Dials | None) -> LoadedStyle:
    if is_picture(style):
        from pipeline.stylize.picture_style import predict_style

        return predict_style(Path(style), dials)
    with _style_errors():
        return load(style)


@contextmanager
def _style_errors(remedy: str = "") -> Iterator[None]:
    """Map `WeightsError` to `StyleError` within this context."""
    try:
        yield
    except WeightsError as error:
        raise StyleError(f"{error}{remedy}") from error
