"""Score a stylized clip against the original, frame by frame."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.evaluate.brushwork import Brushwork, BrushworkMetric, FrameBrushwork, mean_brushwork
from pipeline.evaluate.perceptual import PerceptualMetrics
from pipeline.frames import Frame

if TYPE_CHECKING:
    from models.temporal.flow import FlowEstimator

NEAR, FAR = 1, 10
"""Distance between the two frames of a pair, in frames."""

PERCEPTUAL_FRAMES = 4
"""About how many frames are compared by style and content."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """The comparison of two frames of a clip.

    Attributes:
        index: of the later frame, from 0.
        seconds: time of the later frame, from the first frame of the clip.
        visible: share of the pixels that could be compared, 0 to 1.
        original: `models.metrics.warp_error` of the original clip; None if a scene cut lies between the frames.
        stylized: `models.metrics.warp_error` of the stylized clip; None as above.
    """

    index: int
    seconds: float
    visible: float
    original: float | None
    stylized: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores, to be read together; None for what could not be measured.

    Attributes:
        frames: number of frames of each clip.
        pairs: number of neighboring pairs in ``e_stab``.
        left_out: number of neighboring pairs with a scene cut between their frames.
        pairs10: number of pairs 10 frames apart in ``e_stab10``.
        left_out10: number of pairs 10 frames apart with a scene cut between their frames.
        e_stab: of the stylized clip, in pixel values of [0, 1]; lower is more stable.
        e_stab10: the same for frames 10 apart.
        e_warp: the square of ``e_stab``, as in Lai et al. 2018.
        e_warp10: the same for frames 10 apart.
        input_e_stab: of the original clip: errors of the flow and noise, the lowest value to expect.
        input_e_stab10: the same for frames 10 apart.
        style: distance from the style image; lower is more similar.
        content: distance from the original frames; lower keeps more of them.
        brushwork: strokes compared with those of the style image, without color.
        pictures: number of frames in ``style``, ``content`` and ``brushwork``.
        loss_network: name of the network by which style and content were measured.
        painting: file name of the style image.
        notes: remarks on the scores, one line each.
        curve: the neighboring pairs that were compared.
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
    brushwork: Brushwork | None
    pictures: int
    loss_network: str | None
    painting: str | None
    notes: tuple[str, ...]
    curve: tuple[Pair, ...] = field(repr=False)


class ScoreAccumulator:
    """Takes two clips frame by frame and compares a limited number of pairs, spread evenly.

    Args:
        estimator: estimates the flow in the original clip.
        perceptual: measures style and content of a few frames; None for neither.
        brushwork: measures the strokes of the same frames; None for not.
        total: an estimate of the number of frames; None if unknown.
        pairs: about how many pairs to compare; 0 for all.

    Attributes:
        frames: number of frames so far.
    """

    def __init__(
        self,
        estimator: "FlowEstimator",
        perceptual: PerceptualMetrics | None,
        brushwork: BrushworkMetric | None = None,
        *,
        total: int | None,
        pairs: int,
    ) -> None:
        self.frames = 0
        self._estimator = estimator
        self._perceptual = perceptual
        self._brushwork = brushwork
        stride = round((total - 1) / pairs) if total and pairs else 1
        self._pairs = {distance: EvenSample[Pair](2 * pairs, stride) for distance in (NEAR, FAR)}
        perceptual_stride = (total or 0) // PERCEPTUAL_FRAMES
        self._perceptual_scores = EvenSample[tuple[float | None, float]](2 * PERCEPTUAL_FRAMES, perceptual_stride)
        self._brushwork_scores = EvenSample[FrameBrushwork](2 * PERCEPTUAL_FRAMES, perceptual_stride)
        self._past: deque[tuple[Frame, Frame]] = deque(maxlen=FAR)
        self._start = 0.0

    def add(self, original: Frame, stylized: Frame) -> None:
        """Add the next frame of both clips, of the same size."""
        if not self.frames:
            self._start = float(original.seconds)
        for distance, sample in self._pairs.items():
            if self.frames >= distance and sample.wants(self.frames):
                sample.add(self.frames, self._compare(original, stylized, distance))
        if self._perceptual and self._perceptual_scores.wants(self.frames):
            self._perceptual_scores.add(self.frames, self._perceptual(original.pixels, stylized.pixels))
        if self._brushwork and self._brushwork_scores.wants(self.frames):
            self._brushwork_scores.add(self.frames, self._brushwork(original.pixels, stylized.pixels))
        self._past.append((original, stylized))
        self.frames += 1

    def _compare(self, original: Frame, stylized: Frame, distance: int) -> Pair:
        from models.metrics import estimate_motion, image_to_tensor, warp_error

        earlier = self._past[-distance]
        motion = estimate_motion(original.pixels, earlier[0].pixels, self._estimator)
        errors: list[float | None] = [None, None]
        if motion.same_scene:
            for clip, (now, before) in enumerate(zip((original, stylized), earlier, strict=True)):
                errors[clip] = warp_error(image_to_tensor(now.pixels), image_to_tensor(before.pixels), motion)
        return Pair(self.frames, float(original.seconds) - self._start, motion.visible_share, *errors)

    def scores(self, network: str | None, style_image: str | None, notes: Sequence[str]) -> Scores:
        """Return the scores of all frames so far.

        Args:
            network: name of the loss network.
            style_image: file name of the style image.
            notes: remarks on the scores, one line each.
        """
        from models.metrics import e_stab, e_warp

        near, far = (self._pairs[distance].items for distance in (NEAR, FAR))
        near_errors, far_errors = (_present(pair.stylized for pair in pairs) for pairs in (near, far))
        perceptual = self._perceptual_scores.items
        return Scores(
            frames=self.frames,
            pairs=len(near_errors),
            left_out=len(near) - len(near_errors),
            pairs10=len(far_errors),
            left_out10=len(far) - len(far_errors),
            e_stab=_over(e_stab, near_errors),
            e_stab10=_over(e_stab, far_errors),
            e_warp=_over(e_warp, near_errors),
            e_warp10=_over(e_warp, far_errors),
            input_e_stab=_over(e_stab, _present(pair.original for pair in near)),
            input_e_stab10=_over(e_stab, _present(pair.original for pair in far)),
            style=_over(_mean, _present(style for style, _ in perceptual)),
            content=_over(_mean, [content for _, content in perceptual]),
            brushwork=mean_brushwork(self._brushwork_scores.items),
            pictures=len(perceptual),
            loss_network=network,
            painting=style_image,
            notes=tuple(notes),
            curve=tuple(near),
        )


def figures(scores: Scores) -> Iterator[str]:
    """Yield the scores as text, one line at a time; a dash for what could not be measured."""

    def number(value: float | None, digits: int = 4) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    floor, floor10 = number(scores.input_e_stab), number(scores.input_e_stab10)
    yield f"e_stab   {number(scores.e_stab)}   10 frames apart {number(scores.e_stab10)}   original {floor}, {floor10}"
    yield f"E_warp   {number(scores.e_warp, 6)} 10 frames apart {number(scores.e_warp10, 6)}"
    yield f"style    {number(scores.style, 3)}    {scores.painting or 'no painting'}"
    by = f"by {scores.loss_network}, {scores.pictures} frames" if scores.loss_network else "no loss network"
    yield f"content  {number(scores.content, 3)}    {by}"
    if scores.brushwork is not None:
        yield from _brushwork_figures(scores.brushwork)
    left_out = f"; {scores.left_out} and {scores.left_out10} left out" if scores.left_out or scores.left_out10 else ""
    yield f"{scores.frames} frames: {scores.pairs} neighboring pairs and {scores.pairs10} 10 apart{left_out}"
    yield scores.notes[-1]


def _brushwork_figures(brushwork: Brushwork) -> Iterator[str]:
    distance, share = (
        " / ".join(f"{value:.{digits}f}" for value in values.values())
        for values, digits in ((brushwork.distance, 3), (brushwork.share, 2))
    )
    structure = "-" if brushwork.structure is None else f"{brushwork.structure:.3f}"
    rank = f"   rank {brushwork.rank} of {brushwork.among}" if brushwork.among > 1 else ""
    yield f"strokes  {distance}   share {share}   structure {structure}{rank}"


class EvenSample(Generic[T]):
    """Samples a sequence of unknown length evenly: above ``most`` items, every second one is dropped.

    Args:
        most: largest number of items; 0 for all.
        stride: initial distance of the items, at least 1.
    """

    def __init__(self, most: int, stride: int) -> None:
        self._most = most
        self._stride = max(stride, 1)
        self._items: list[tuple[int, T]] = []

    def wants(self, index: int) -> bool:
        """Return whether the item number ``index`` belongs to the sample."""
        return index % self._stride == 0

    def add(self, index: int, item: T) -> None:
        """Add item number ``index``."""
        self._items.append((index, item))
        if self._most and len(self._items) > self._most:
            self._stride *= 2
            self._items = [each for each in self._items if self.wants(each[0])]

    @property
    def items(self) -> list[T]:
        """The items of the sample, in order."""
        return [item for _, item in self._items]


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _over(measure: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    return measure(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
