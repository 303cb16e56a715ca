"""Takes two clips frame by frame, compares their pairs, and adds up what was measured."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.evaluate.perceptual import PerceptualMetrics
from pipeline.frames import Frame

if TYPE_CHECKING:
    from models.flow import FlowEstimator

NEAR, FAR = 1, 10
PICTURES = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames of the clip, compared.

    Attributes:
        index: of the later frame, from 0.
        seconds: of the later frame, counted from the first.
        visible: share of the pixels that could be compared.
        original: `models.metrics.warp_error` of the original clip; None where the pair is not counted.
        stylized: of the painted clip.
    """

    index: int
    seconds: float
    visible: float
    original: float | None
    stylized: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured; None stands for what could not be. The scores stand together.

    Attributes:
        frames: of either clip.
        pairs: of neighbouring frames that count in ``e_stab``.
        left_out: pairs of neighbouring frames that do not, as another scene begins between them.
        pairs10: of frames 10 apart that count.
        left_out10: of frames 10 apart that do not.
        e_stab: of the painted clip, in pixels of [0, 1]; lower is stiller.
        e_stab10: the same with frames 10 apart.
        e_warp: the square of ``e_stab``, as in Lai et al. 2018.
        e_warp10: the same with frames 10 apart.
        input_e_stab: of the original: the floor, which is wrong flow and noise.
        input_e_stab10: the same with frames 10 apart.
        style: distance from the painting; lower is more like it.
        content: distance from the scene; lower keeps more of it.
        pictures: frames whose style and content were measured.
        loss_network: by which style and content were measured.
        painting: file of the painting.
        notes: what the reader of the figures should know, a line each.
        curve: each compared pair of neighbouring frames.
    """

    frames: int
    pairs: int
    left_out: int
    pairs10: int
    left_out10: int
    e_stab: float | None
    e_stab10: float | None
    e_warp: float | None
    e_warp10: float | None
    input_e_stab: float | None
    input_e_stab10: float | None
    style: float | None
    content: float | None
    pictures: int
    loss_network: str | None
    painting: str | None
    notes: tuple[str, ...]
    curve: tuple[Pair, ...] = field(repr=False)


class ScoreAccumulator:
    """Takes two clips frame by frame and measures as many of their pairs as are wanted.

    Args:
        finder: of the flow in the original clip.
        likeness: measures style and content of a few frames; None leaves both out.
        total: an estimate of the frames to come; None where nothing is known.
        pairs: about how many are compared; 0 for all.

    Attributes:
        frames: taken so far.
    """

    def __init__(
        self, finder: "FlowEstimator", likeness: PerceptualMetrics | None, *, total: int | None, pairs: int
    ) -> None:
        self.frames = 0
        self._finder = finder
        self._likeness = likeness
        stride = round((total - 1) / pairs) if total and pairs else 1
        self._pairs = {back: Sample[Pair](2 * pairs, stride) for back in (NEAR, FAR)}
        self._pictures = Sample[tuple[float | None, float]](2 * PICTURES, (total or 0) // PICTURES)
        self._past: deque[tuple[Frame, Frame]] = deque(maxlen=FAR)
        self._begin = 0.0

    def add(self, original: Frame, stylized: Frame) -> None:
        """Take the next frame of either clip, of one size."""
        if not self.frames:
            self._begin = float(original.seconds)
        for back, sample in self._pairs.items():
            if self.frames >= back and sample.wants(self.frames):
                sample.add(self.frames, self._compare(original, stylized, back))
        if self._likeness and self._pictures.wants(self.frames):
            self._pictures.add(self.frames, self._likeness(original.pixels, stylized.pixels))
        self._past.append((original, stylized))
        self.frames += 1

    def _compare(self, original: Frame, stylized: Frame, back: int) -> Pair:
        from models.metrics import estimate_motion, image_to_tensor, warp_error

        earlier = self._past[-back]
        motion = estimate_motion(original.pixels, earlier[0].pixels, self._finder)
        errors: list[float | None] = [None, None]
        if motion.same_scene:
            both = zip((original, stylized), earlier, strict=True)
            errors = [
                warp_error(image_to_tensor(now.pixels), image_to_tensor(then.pixels), motion) for now, then in both
            ]
        return Pair(self.frames, float(original.seconds) - self._begin, motion.visible_share, *errors)

    def scores(self, network: str | None, painting: str | None, notes: Sequence[str]) -> Scores:
        """What all of it came to."""
        from models.metrics import e_stab, e_warp

        near, far = (self._pairs[back].items for back in (NEAR, FAR))
        pictures = self._pictures.items
        styles = [style for style, _ in pictures if style is not None]
        return Scores(
            frames=self.frames,
            pairs=len(_counted(near)),
            left_out=len(near) - len(_counted(near)),
            pairs10=len(_counted(far)),
            left_out10=len(far) - len(_counted(far)),
            e_stab=_over(e_stab, _counted(near)),
            e_stab10=_over(e_stab, _counted(far)),
            e_warp=_over(e_warp, _counted(near)),
            e_warp10=_over(e_warp, _counted(far)),
            input_e_stab=_over(e_stab, [pair.original for pair in near if pair.original is not None]),
            input_e_stab10=_over(e_stab, [pair.original for pair in far if pair.original is not None]),
            style=_over(_mean, styles),
            content=_over(_mean, [content for _, content in pictures]),
            pictures=len(pictures),
            loss_network=network,
            painting=painting,
            notes=tuple(notes),
            curve=tuple(near),
        )


def figures(scores: Scores) -> Iterator[str]:
    """The figures of a painted clip, a line each; a dash stands for what could not be measured."""

    def number(value: float | None, digits: int = 4) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    floor, floor10 = number(scores.input_e_stab), number(scores.input_e_stab10)
    yield f"e_stab   {number(scores.e_stab)}   10 frames apart {number(scores.e_stab10)}   original {floor}, {floor10}"
    yield f"E_warp   {number(scores.e_warp, 6)} 10 frames apart {number(scores.e_warp10, 6)}"
    yield f"style    {number(scores.style, 3)}" + (f"    {scores.painting}" if scores.painting else "    no painting")
    by = f"by {scores.loss_network}, {scores.pictures} frames" if scores.loss_network else "no loss network"
    yield f"content  {number(scores.content, 3)}    {by}"
    left_out = f"; {scores.left_out} and {scores.left_out10} left out" if scores.left_out or scores.left_out10 else ""
    yield f"{scores.frames} frames: {scores.pairs} neighbouring pairs and {scores.pairs10} 10 apart{left_out}"
    yield scores.notes[-1]


class Sample(Generic[T]):
    """A few of unknown many, spread evenly: where they become too many, every other one is dropped.

    Args:
        most: that are kept; 0 for all.
        stride: between the first ones that are wanted; at least 1 is taken.
    """

    def __init__(self, most: int, stride: int) -> None:
        self._most = most
        self._stride = max(stride, 1)
        self._kept: list[tuple[int, T]] = []

    def wants(self, index: int) -> bool:
        """Whether the item with this number is one of those to be measured."""
        return index % self._stride == 0

    def add(self, index: int, item: T) -> None:
        """Keep the item with this number."""
        self._kept.append((index, item))
        if self._most and len(self._kept) > self._most:
            self._stride *= 2
            self._kept = [kept for kept in self._kept if self.wants(kept[0])]

    @property
    def items(self) -> list[T]:
        """Those that are kept, in order."""
        return [item for _, item in self._kept]


def _counted(pairs: Iterable[Pair]) -> list[float]:
    return [pair.stylized for pair in pairs if pair.stylized is not None]


def _over(measure: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    return measure(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
