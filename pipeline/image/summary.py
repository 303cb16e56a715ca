"""What became of each picture, and of all."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from pipeline.errors import PipelineError

Outcome = Literal["stylized", "exists", "failed"]


@dataclass(frozen=True, slots=True)
class PictureResult:
    """What became of one picture.

    Attributes:
        input: the file that was read.
        output: the file that was written.
        outcome: ``exists`` if the output was there before and was kept.
        width: of the output in pixels, 0 unless it is stylized.
        height: of the output in pixels, 0 unless it is stylized.
        bits: of a sample of the picture, 8 or 16; 0 unless it is stylized.
        seconds: time for which the network and the mask took.
        error: why it failed; None if it did not.
    """

    input: str
    output: str
    outcome: Outcome
    width: int = 0
    height: int = 0
    bits: int = 0
    seconds: float = 0.0
    error: PipelineError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields, as JSON takes them."""
        return {
            **{name: getattr(self, name) for name in ("input", "output", "outcome", "width", "height", "bits")},
            "seconds": round(self.seconds, 3),
            "error": None if self.error is None else str(self.error),
        }


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """The result of a run.

    Attributes:
        pictures: in the order of the inputs.
        style: name of the style.
        engine: how the network ran; empty if no picture was stylized. So are the next two.
        precision: of the network.
        device: where the network ran.
        seconds: time of the whole run.
        notices: what the user was told.
        peak_memory_bytes: peak resident memory of this process, None if the system does not report it.
    """

    pictures: Sequence[PictureResult]
    style: str
    engine: str
    precision: str
    device: str
    seconds: float
    notices: tuple[str, ...]
    peak_memory_bytes: int | None

    def count(self, outcome: Outcome) -> int:
        """Return the number of pictures with this outcome."""
        return sum(picture.outcome == outcome for picture in self.pictures)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, as JSON takes them, with the number of pictures of each outcome."""
        counts = {name: self.count(name) for name in get_args(Outcome)}
        whole = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "pictures"}
        return {**counts, **whole, "pictures": [picture.as_json() for picture in self.pictures]}
