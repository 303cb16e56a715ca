"""How to improve the style of a picture on the clip itself, before the render starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.arguments import WrongTypeError
from pipeline.config.options import Option, check_settings

MOST_SECONDS = 86_400


def read_paths(value: object) -> tuple[Path, ...]:
    """Return the paths of a list of texts, or of one."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str | Path) for text in texts):
        raise WrongTypeError(f"must be a path or a list of paths, not {value!r}")
    return tuple(map(Path, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """How to improve the style of a picture on the clip itself, before the render starts."""

    seconds: Annotated[
        float,
        Option(
            "First improve the style of the picture on this clip, for so many seconds.",
            name="refine",
            metavar="SECONDS",
            min=0,
            max=MOST_SECONDS,
        ),
    ] = 0.0
    loss_weights: Annotated[
        Sequence[Path],
        Option(
            "Weights of a loss network for --refine; repeatable. Default: torchvision's VGG-19.",
            metavar="FILE",
            read=read_paths,
        ),
    ] = ()

    def __post_init__(self) -> None:
        check_settings(self)
