"""The styles of a live session, which can be mixed frame by frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.registry import LoadedStyle, StyleMetadata, WeightsError
from pipeline.config.style_spec import Dials, parse_blend
from pipeline.errors import StyleError
from pipeline.stylize.style import bundled_styles, load_style_settings, styles_in

if TYPE_CHECKING:
    from models.network import Style, StyleNetwork


@dataclass(frozen=True, slots=True)
class StyleMixer:
    """Styles of one session, mixed frame by frame.

    Attributes:
        names: of the styles, as ``--style`` accepts them.
        network: of all styles.
        styles: their parameters.
    """

    names: tuple[str, ...]
    network: "StyleNetwork"
    styles: tuple["Style", ...]

    def mix(self, weights: Sequence[float]) -> "Style":
        """Return the weighted mean of the styles; a style alone is returned as it is.

        Args:
            weights: for each style, at least 0; scaled to a sum of 1. Styles without a weight were added just now.

        Raises:
            ValueError: no weight is above 0.
        """
        mixed, total = None, 0.0
        for style, weight in zip(self.styles, weights, strict=False):
            if weight <= 0:
                continue
            total += weight
            mixed = style if mixed is None else mixed.lerp(style, weight / total)
        if mixed is None:
            raise ValueError("no style has a weight above 0")
        return mixed

    def with_style(self, spec: str, dials: Dials | None = None, *, name: str | None = None) -> "StyleMixer":
        """Return a mixer with one more style, the last.

        Args:
            spec: the style, as ``--style`` accepts it.
            dials: how the styles of pictures are predicted.
            name: of the style among `names`; None for ``spec``.

        Raises:
            InputError: a picture cannot be read, or is too small.
            StyleError: the style does not exist, is unusable, or cannot be mixed with the first.
        """
        first = LoadedStyle(self.network, self.styles[0], StyleMetadata(self.names[0]))
        style = _related(_load(spec, dials), first)
        return replace(self, names=(*self.names, name or spec), styles=(*self.styles, style.style))

    def without_style(self, name: str) -> "StyleMixer":
        """Return a mixer without a style that is not the first; the same one if there is no such style."""
        kept = [pair for pair in zip(self.names, self.styles, strict=True) if pair[0] != name]
        names, styles = zip(*kept, strict=True)
        return replace(self, names=names, styles=styles)


def style_names(spec: str, dials: Dials | None = None) -> tuple[str, ...]:
    """Return the styles to choose from: ``spec`` first, then the others of its file, then the bundled ones.

    Bundled styles are left out if their network cannot be mixed with that of ``spec``.

    Args:
        spec: see `pipeline.config.style_spec.parse_blend`.
        dials: how the styles of pictures are predicted.

    Raises:
        StyleError: there is no such style, or its weights are unusable.
        InputError: a picture cannot be read, or is too small.
        ValueError: see `pipeline.config.style_spec.parse_blend`.
    """
    names = [spec]
    if len(parse_blend(spec)) == 1 and "#" in spec:
        names += [name for name in styles_in(spec.rpartition("#")[0]) if name != spec]
    bundled = [metadata.name for metadata in bundled_styles() if metadata.name != spec]
    if bundled and _are_related(_load(spec, dials), _load(bundled[0])):
        names += bundled
    return tuple(names)


def load_style_mixer(
    names: Sequence[str],
    leave_out: Callable[[str, StyleError], object] | None = None,
    *,
    dials: Dials | None = None,
) -> StyleMixer:
    """Load the styles ``names``; see `style_names`.

    Args:
        names: of the styles, at least one.
        leave_out: called with each style but the first that cannot be used, and why; None raises the error.
        dials: how the styles of pictures are predicted.

    Raises:
        InputError: a picture cannot be read, or is too small.
        StyleError: a style does not exist, is unusable, or cannot be mixed with the first.
    """
    first = _load(names[0], dials)
    loaded = {names[0]: first}
    for name in names[1:]:
        try:
            loaded[name] = _related(_load(name, dials), first)
        except StyleError as error:
            if leave_out is None:
                raise
            leave_out(name, error)
    return StyleMixer(tuple(loaded), first.network, tuple(style.style for style in loaded.values()))


def _load(name: str, dials: Dials | None = None) -> LoadedStyle:
    return load_style_settings(name, dials=dials).start


def _related(style: LoadedStyle, first: LoadedStyle) -> LoadedStyle:
    if not _are_related(first, style):
        raise StyleError(f"{style.metadata.name} and {first.metadata.name} cannot be mixed in one session")
    return style


def _are_related(first: LoadedStyle, second: LoadedStyle) -> bool:
    from models.blend import check_related

    try:
        check_related(first, second)
    except WeightsError:
        return False
    return True
