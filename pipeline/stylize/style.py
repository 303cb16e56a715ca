"""What the frames are to look like: a style, a blend of several, or a fade from one to another over the clip."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import LoadedStyle, StyleMetadata, WeightsError, find, load, read_catalog
from pipeline.errors import InputError, StyleError
from pipeline.frames import VideoInfo

if TYPE_CHECKING:
    from models.network import Style, StyleNetwork

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
LARGEST_WEIGHT = 1e6


@dataclass(frozen=True, slots=True)
class Part:
    """One style of a blend.

    Attributes:
        style: name of a bundled style, path of a weight file, or ``FILE#NAME``.
        weight: its share of the blend, 0 or more; those of a blend sum to 1.
    """

    style: str
    weight: float


@dataclass(frozen=True, slots=True)
class StyleSettings:
    """A style at each moment of a clip.

    Attributes:
        name: as people read it: ``a``, ``a:0.7,b:0.3`` or ``a -> b``.
        start: the network and the style that the clip begins with.
        end: those it ends with; None where it stays as it begins.
        seconds: time of the frame at which ``end`` is reached, above 0.
    """

    name: str
    start: LoadedStyle
    end: LoadedStyle | None = None
    seconds: float = 1.0

    @property
    def network(self) -> "StyleNetwork":
        """The network that the clip begins with."""
        return self.start.network

    @property
    def end_network(self) -> "StyleNetwork | None":
        """What the network turns into; None where it stays as it is, as it does between styles of one file."""
        from models.blend import differ

        if self.end is None or not differ(self.start.network, self.end.network):
            return None
        return self.end.network

    def share(self, seconds: float) -> float:
        """How much of ``end`` the frame at ``seconds`` has, in [0, 1]."""
        return 0.0 if self.end is None else min(max(seconds / self.seconds, 0.0), 1.0)

    def style(self, share: float) -> "Style":
        """The style at ``share`` of the way from the start to the end."""
        return self.start.style if self.end is None else self.start.style.lerp(self.end.style, share)


def parse_blend(spec: str) -> tuple[Part, ...]:
    r"""Read ``NAME``, or ``NAME:WEIGHT,NAME:WEIGHT,...``; weights are brought to a sum of 1.

    A weight stands behind the last colon and is a number, so that names and paths may hold colons themselves
    (``C:\mine.safetensors``). Without any weights all count alike. A comma within a folder's name separates nothing.

    Raises:
        ValueError: a name is missing, or the weights make no sense.
    """
    texts = [spec] if os.path.isfile(spec) else _split(spec)
    named = [_name_and_weight(text) for text in texts]
    if not all(name for name, _ in named):
        raise ValueError(f"style {spec!r} lacks a name; write NAME or NAME:0.7,NAME:0.3")
    given = [weight for _, weight in named if weight is not None]
    if given and len(given) < len(named):
        raise ValueError(f"style {spec!r} has weights for some only; give one to each, or to none")
    if any(not 0 <= weight <= LARGEST_WEIGHT for weight in given):
        raise ValueError(f"style {spec!r}: weights must be between 0 and {LARGEST_WEIGHT:g}")
    total = sum(given) if given else len(named)
    if total < 1 / LARGEST_WEIGHT:
        raise ValueError(f"style {spec!r}: at least one weight must be above 0")
    return tuple(Part(name, (1.0 if weight is None else weight) / total) for name, weight in named)


def with_names(spec: str, renamed: Callable[[str], str]) -> str:
    """``spec`` with each name in it as ``renamed`` gives it; weights stay as they are written."""
    if os.path.isfile(spec):
        return renamed(spec)
    names = [(_name_and_weight(text)[0], text) for text in _split(spec)]
    return ",".join(renamed(name) + text[len(name) :] for name, text in names)


def bundled_styles() -> tuple[StyleMetadata, ...]:
    """The cards of the styles that come along.

    Raises:
        StyleError: their file is missing or damaged.
    """
    try:
        return tuple(read_catalog().cards.values())
    except WeightsError as error:
        raise StyleError(f"{error}; reinstall flowbrush") from error


def styles_in(file: str) -> list[str]:
    """The styles of a weight file as ``FILE#NAME``; of ``FILE#NAME`` that one alone.

    Raises:
        StyleError: not a weight file of ours, or it holds no such style.
    """
    try:
        catalog = read_catalog(Path(file)) if file.endswith(".safetensors") else find(file)[0]
    except WeightsError as error:
        raise StyleError(str(error)) from error
    return [f"{file}#{name}" for name in catalog.cards] if file.endswith(".safetensors") else [file]


def find_style(style: str, style_end: str | None = None) -> StyleMetadata:
    """The card of a style or a blend, or of a fade to ``style_end``; reads no weights and imports no torch.

    Raises:
        StyleError: there is no such style.
        ValueError: a blend that cannot be read, see `parse_blend`.
    """
    card = _find_blend(parse_blend(style))
    if style_end is None:
        return card
    return StyleMetadata(f"{card.name} -> {_find_blend(parse_blend(style_end)).name}")


def load_style_settings(style: str, style_end: str | None = None, seconds: float | None = None) -> StyleSettings:
    """Load what is needed to paint in ``style``, or to fade from it to ``style_end``.

    Args:
        style: see `parse_blend`.
        style_end: see `parse_blend`; None for no fade.
        seconds: time of the last frame, see `last_frame_seconds`; only a fade needs it.

    Raises:
        StyleError: there is no such style, its weights cannot be used, or the styles cannot be mixed.
        ValueError: a blend that cannot be read, or a fade without its length.
    """
    name = find_style(style, style_end).name
    if style_end is None:
        return StyleSettings(name, _load_blend(parse_blend(style)))
    if seconds is None:
        raise ValueError("a fade needs the time of the last frame")
    start, end = _load_blend(parse_blend(style)), _load_blend(parse_blend(style_end))
    try:
        from models.blend import check_related

        check_related(start, end)
    except WeightsError as error:
        raise StyleError(str(error)) from error
    return StyleSettings(name, start, end, max(seconds, 1e-9))


def last_frame_seconds(info: VideoInfo) -> float:
    """Time of the last frame of a clip, or of the part of it that is wanted, as far as the header tells.

    Raises:
        InputError: the header does not tell, as that of a pipe.
    """
    if not info.duration_seconds:
        raise InputError(
            info.path,
            "its length is not known before its end (a pipe, for instance), so that --style-end cannot tell when "
            "to be reached; give --duration, or write the input to a file first",
        )
    if info.frame_count:
        return info.duration_seconds * (1 - 1 / info.frame_count)
    return max(info.duration_seconds - float(1 / info.average_rate if info.average_rate else 0), 0.0)


def _split(spec: str) -> list[str]:
    """At commas, but not within a path before its ``.safetensors``."""
    texts: list[str] = []
    for text in spec.split(","):
        if texts and ("/" in texts[-1] or "\\" in texts[-1]) and ".safetensors" not in texts[-1]:
            texts[-1] += f",{text}"
        else:
            texts.append(text)
    return [text.strip() for text in texts]


def _name_and_weight(text: str) -> tuple[str, float | None]:
    name, colon, weight = text.rpartition(":")
    if colon and NUMBER.fullmatch(weight.strip()):
        return name.strip(), float(weight)
    return text, None


def _find_blend(parts: Sequence[Part]) -> StyleMetadata:
    try:
        cards = [find(part.style)[1] for part in parts]
    except WeightsError as error:
        raise StyleError(str(error)) from error
    if len(cards) == 1:
        return cards[0]
    return StyleMetadata(",".join(f"{card.name}:{part.weight:.3g}" for card, part in zip(cards, parts, strict=True)))


def _load_blend(parts: Sequence[Part]) -> LoadedStyle:
    name = _find_blend(parts).name
    try:
        engines = [load(part.style) for part in parts]
        if len(engines) == 1:
            return engines[0]
        from models.blend import blend

        return blend(engines, [part.weight for part in parts], name)
    except WeightsError as error:
        raise StyleError(str(error)) from error
