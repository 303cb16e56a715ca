"""What a viewer has set on the page: read from hostile JSON, for live frames and for clips."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from pipeline.config import Stability, StylizeConfig
from pipeline.config.style_spec import WeightedStyle

MOST_TEXT = 16_384
"""Longest text from a browser, in characters."""
PICTURE = "picture-"
"""Start of the names of styles that were made of pictures; no bundled style is called so."""
PICTURE_GONE = "the picture of this style is no longer here; add it again, or choose another style"
# The page blends two; a few more cost nothing.
MOST_STYLES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerSettings:
    """How the frames or the clip of one viewer are stylized.

    Attributes:
        styles: names of known styles with weights in [0, 1], whose sum is 1.
        strength: in [0, 1]; 0 leaves the frames as they are.
        keep_colors: whether the frames keep their colors.
        stability: how to reduce flicker, as in `StylizeConfig`.
        mirror: whether left and right are swapped; for live frames only.
    """

    styles: tuple[WeightedStyle, ...]
    strength: float = 1.0
    keep_colors: bool = False
    stability: Stability = "smooth"
    mirror: bool = False

    @property
    def spec(self) -> str:
        """The styles as the command line writes them: ``a``, or ``a:0.7,b:0.3``."""
        if len(self.styles) == 1:
            return self.styles[0].style
        return ",".join(f"{each.style}:{each.weight:.6g}" for each in self.styles)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each style by its name."""
        return {each.style: each.weight for each in self.styles}

    def located(self, files: Mapping[str, str]) -> "ViewerSettings":
        """Return the settings with the weight files of styles in place of the names that ``files`` has."""
        styles = tuple(replace(each, style=files.get(each.style, each.style)) for each in self.styles)
        return replace(self, styles=styles)

    def stylize_config(self, base: StylizeConfig) -> StylizeConfig:
        """Return ``base``, of which device, engine and precision stay, with these settings."""
        return replace(
            base,
            style=self.spec,
            style_end=None,
            strength=self.strength,
            keep_colors=self.keep_colors,
            stability=self.stability,
        )

    def as_json(self) -> dict[str, object]:
        """Return the settings as `read_settings` reads them: nothing else that a page has sent."""
        styles = [{"name": each.style, "weight": each.weight} for each in self.styles]
        return {**asdict(self), "styles": styles}


def default_settings(style: str) -> ViewerSettings:
    """Return the settings of a viewer who has set nothing yet."""
    return ViewerSettings(styles=(WeightedStyle(style, 1.0),))


def parse_json(text: str | bytes, most: int = MOST_TEXT) -> dict[str, Any]:
    """Return the JSON object in a text from a browser.

    Args:
        text: that a stranger may have sent.
        most: longest text that is read.

    Raises:
        ValueError: it is too long, is no JSON, or is no object.
    """
    if len(text) > most:
        raise ValueError(f"a message of {len(text)} characters is too long; {most} are accepted")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON; reload the page") from None
    if not isinstance(value, dict):
        raise ValueError("this is not a JSON object; reload the page")
    return value


def object_in(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return the object called ``name`` in a JSON object.

    Raises:
        ValueError: there is none.
    """
    value = values.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"there are no {name}; reload the page")
    return value


def read_settings(values: Mapping[str, object], known: Collection[str]) -> ViewerSettings:
    """Return the settings in a JSON object; what is missing takes its default, except for the styles.

    Args:
        values: the object; its ``type`` does not count.
        known: names of the styles to choose from. No other name is accepted: it could be a path.

    Raises:
        ValueError: a value is missing, unknown, or out of range; one line.
    """
    names = {field.name for field in fields(ViewerSettings)}
    unknown = [key for key in values if key not in names and key != "type"]
    if unknown:
        raise ValueError(f"there is no setting {_shown(unknown[0])}; there are {', '.join(sorted(names))}")
    if "styles" not in values:
        raise ValueError("the settings name no style; choose one")
    return ViewerSettings(
        styles=_read_styles(values["styles"], known),
        strength=_read_share(values.get("strength", 1.0), "strength"),
        keep_colors=_read_flag(values.get("keep_colors", False), "keep_colors"),
        stability=_read_stability(values.get("stability", "smooth")),
        mirror=_read_flag(values.get("mirror", False), "mirror"),
    )


def _read_styles(value: object, known: Collection[str]) -> tuple[WeightedStyle, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_STYLES:
        raise ValueError(f"styles must be a list of 1 to {MOST_STYLES} styles")
    styles: dict[str, float] = {}
    for each in value:
        if not isinstance(each, dict) or not {"name"} <= each.keys() <= {"name", "weight"}:
            raise ValueError("each of the styles must have a name and a weight, and nothing else")
        name = each["name"]
        if isinstance(name, str) and name.startswith(PICTURE) and name not in known:
            raise ValueError(PICTURE_GONE)
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"there is no style {_shown(name)}; choose one of the gallery")
        if name in styles:
            raise ValueError(f"the style {name} is named twice; name it once")
        styles[name] = _read_share(each.get("weight", 1.0), "weight")
    total = sum(styles.values())
    if total < 1e-6:
        raise ValueError("all styles have the weight 0; give one of them more")
    return tuple(WeightedStyle(name, weight / total) for name, weight in styles.items() if weight > 0)


def _read_stability(value: object) -> Stability:
    choices: tuple[Stability, ...] = get_args(Stability)
    for choice in choices:
        if value == choice:
            return choice
    raise ValueError(f"stability must be one of {', '.join(choices)}, not {_shown(value)}")


def _read_share(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # nan is in no range
        raise ValueError(f"{name} must be a number from 0 to 1, not {_shown(value)}")
    return float(value)


def _read_flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """Return a value of a stranger for messages: one short line of ASCII."""
    return ascii(value)[:60]
