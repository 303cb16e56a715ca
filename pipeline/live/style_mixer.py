"""The styles of a live session, ready to be mixed: any of them is a few numbers away from any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.registry import WeightsError
from pipeline.errors import StyleError
from pipeline.style_spec import parse_blend
from pipeline.stylize.style import bundled_styles, load_style_settings, styles_in

if TYPE_CHECKING:
    from models.network import Style, StyleNetwork
    from models.registry import LoadedStyle


@dataclass(frozen=True, slots=True)
class StyleMixer:
    """Styles that one graph can paint.

    Attributes:
        names: of the styles, each as ``--style`` takes it.
        network: that the first style is painted with.
        end: the network of the styles that are not painted with ``network``; None where all are.
        styles: their vectors.
        shares: for each style 0 where it is painted with ``network``, 1 with ``end``.
    """

    names: tuple[str, ...]
    network: "StyleNetwork"
    end: "StyleNetwork | None"
    styles: tuple["Style", ...]
    shares: tuple[float, ...]

    def mix(self, weights: Sequence[float]) -> "tuple[Style, float]":
        """The style between all of them, and the share of `end`; ``weights`` are in [0, 1] and sum to 1."""
        mixed, total, share = None, 0.0, 0.0
        for style, of_end, weight in zip(self.styles, self.shares, weights, strict=True):
            if weight <= 0:
                continue
            total += weight
            share += weight * of_end
            mixed = style if mixed is None else mixed.lerp(style, weight / total)
        if mixed is None:
            raise ValueError("no style has a weight above 0")
        return mixed, share / total


def style_names(spec: str) -> tuple[str, ...]:
    """The styles to choose from beside ``spec``, which comes first: others of its file, then the bundled ones.

    Bundled styles are left out where nothing lies between their network and that of ``spec``.

    Raises:
        StyleError: there is no such style, or its weights cannot be used.
        ValueError: see `pipeline.style_spec.parse_blend`.
    """
    names = [spec]
    parts = parse_blend(spec)
    if len(parts) == 1 and "#" in spec:
        names += [name for name in styles_in(spec.rpartition("#")[0]) if name != spec]
    bundled = [card.name for card in bundled_styles() if card.name != spec]
    if bundled and _are_related(_load(spec), _load(bundled[0])):
        names += bundled
    return tuple(names)


def load_style_mixer(names: Sequence[str]) -> StyleMixer:
    """Load the styles ``names``, whose networks are two at most, as `style_names` sees to.

    Raises:
        StyleError: one is not there, cannot be used, or does not go with the first.
    """
    from models.blend import networks_differ

    painters = [_load(name) for name in names]
    network = painters[0].network
    others = [stylizer.network for stylizer in painters if networks_differ(network, stylizer.network)]
    end = others[0] if others else None
    for stylizer in painters[1:]:
        strange = (
            end is not None and networks_differ(network, stylizer.network) and networks_differ(end, stylizer.network)
        )
        if strange or not _are_related(painters[0], stylizer):
            raise StyleError(
                f"{stylizer.metadata.name} and {painters[0].metadata.name} cannot be painted in one session"
            )
    shares = tuple(float(end is not None and networks_differ(network, stylizer.network)) for stylizer in painters)
    return StyleMixer(tuple(names), network, end, tuple(stylizer.style for stylizer in painters), shares)


def _load(name: str) -> "LoadedStyle":
    return load_style_settings(name).start


def _are_related(first: "LoadedStyle", second: "LoadedStyle") -> bool:
    from models.blend import check_related

    try:
        check_related(first, second)
    except WeightsError:
        return False
    return True
