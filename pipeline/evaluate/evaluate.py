"""Measure a stylized clip against its original: temporal stability, style and content.

Both clips are read once, frame by frame; only the last eleven frames of each are in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decode.decoder import decode
from pipeline.decode.source import Source, open_source
from pipeline.errors import DeviceError, InputError
from pipeline.evaluate.brushwork import STRUCTURE_LAYER, BrushworkMetric, can_measure
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.perceptual import PerceptualMetrics
from pipeline.evaluate.scores import ScoreAccumulator, Scores
from pipeline.frames import Frame, Pixels
from pipeline.media.damage import damage_notice
from pipeline.media.stills import read_image
from pipeline.notices import Notices, Notify
from pipeline.stylize.loss_networks import find_loss_networks
from pipeline.threads import prefetch

if TYPE_CHECKING:
    import torch

    from models.temporal.flow import FlowEstimator
    from models.training.losses.loss_network import LossNetwork

SMALLEST_PX = 16
PREFETCHED_FRAMES = 2

READ_TOGETHER = "read the scores together: a weaker style is always more stable"

Progress = Callable[[int, int | None], None]


def evaluate(
    config: EvaluateConfig, progress: Progress = lambda done, total: None, *, notify: Notify = lambda line: None
) -> Scores:
    """Measure a stylized clip; formulas in docs/measures.md.

    Args:
        config: the clips, and what to compare with.
        progress: called after each frame with the number of frames so far and an estimate of all.
        notify: called with each notice for the user, one line.

    Raises:
        InputError: a file cannot be read, or the clips do not belong together.
        DeviceError: OpenCV, which estimates the flow, cannot be loaded.
    """
    notices = Notices(notify)
    estimator = _flow_estimator()
    network = _loss_network(config, notices)
    style_image = None if config.painting is None else read_image(config.painting)
    perceptual = None if network is None else PerceptualMetrics(network, style_image)
    brushwork = None if network is None else _brushwork_metric(config, network, style_image, notices)
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(path)) for path in (config.original, config.stylized)]
        _check_sizes(sources, notices)
        total = _estimated_frames(sources, notices)
        clips = [
            stack.enter_context(prefetch(decode(source), depth=PREFETCHED_FRAMES, name="decode", stop=source.stop))
            for source in sources
        ]
        accumulator = ScoreAccumulator(estimator, perceptual, brushwork, total=total, pairs=config.frames)
        for original, stylized in _pairs(clips, config):
            accumulator.add(_scaled_to(stylized, original), stylized)
            progress(accumulator.frames, total)
        for source in sources:
            notices.extend(damage_notice(source.damage))
    if accumulator.frames < 2:
        raise InputError(config.stylized, "has a single frame; stability needs two or more")
    painting = config.painting.name if config.painting and network else None
    return accumulator.scores(network.name if network else None, painting, (*notices.lines, READ_TOGETHER))


def _flow_estimator() -> "FlowEstimator":
    try:
        from models.temporal.flow import DisFlow

        return DisFlow("medium")
    except ImportError as error:
        raise DeviceError(f"OpenCV cannot be loaded ({error}); `flowbrush doctor` shows what is missing") from error


def _loss_network(config: EvaluateConfig, notify: Notify) -> "LossNetwork | None":
    """Return the network that judges style, content and brushwork; None if its download failed."""
    if config.loss_weights is not None:
        return _load(config.loss_weights, notify)
    try:
        return find_loss_networks([], _cpu(), notify)[0][0]
    except InputError as error:
        notify(f"style, content and brushwork are not measured: {error}")
        return None


def _load(file: Path, notify: Notify) -> "LossNetwork":
    return find_loss_networks([file], _cpu(), notify)[0][0]


def _cpu() -> "torch.device":
    import torch

    return torch.device("cpu")


def _brushwork_metric(
    config: EvaluateConfig, network: "LossNetwork", style_image: Pixels | None, notify: Notify
) -> BrushworkMetric | None:
    """Return the metric of the strokes; None without a style image, or if ``network`` lacks its layers."""
    if style_image is None:
        return None
    if not can_measure(network):
        notify(f"brushwork is not measured: {network.name} is not a VGG-19")
        return None
    deep = network if config.structure_weights is None else _load(config.structure_weights, notify)
    has_structure = can_measure(deep, (STRUCTURE_LAYER,))
    if config.structure_weights is not None and not has_structure:
        raise InputError(config.structure_weights, f"{deep.name} has no {STRUCTURE_LAYER}; use a distilled VGG-19")
    others = [read_image(path) for path in config.among]
    return BrushworkMetric(network, deep if has_structure else None, style_image, others)


def _check_sizes(sources: Sequence[Source], notify: Notify) -> None:
    """Check that the clips have the same aspect ratio; the original is scaled to another size."""
    before, after = (source.info for source in sources)
    sizes = f"{after.width}x{after.height}, {before.path} {before.width}x{before.height}"
    if min(after.width, after.height) < SMALLEST_PX:
        raise InputError(after.path, f"is {after.width}x{after.height} px; {SMALLEST_PX} px or more are needed")
    if (before.width, before.height) == (after.width, after.height):
        return
    expected_width = before.width * after.height / before.height
    if abs(expected_width - after.width) > 2 + 0.01 * after.width:
        raise InputError(after.path, f"is {sizes}: another aspect ratio; stylize without --compare")
    notify(f"{after.path} is {sizes}: the original is scaled, since scaling the stylized clip would hide flicker")


def _estimated_frames(sources: Sequence[Source], notify: Notify) -> int | None:
    """Estimate the number of frames from the headers; they may be wrong, so a difference is only a notice."""
    counts = [source.info.frame_count for source in sources]
    known = [count for count in counts if count is not None]
    if len(set(known)) == 2:
        notify(f"the headers announce {counts[0]} and {counts[1]} frames; if so, the clips do not belong together")
    return min(known, default=None)


def _pairs(clips: Sequence[Iterable[Frame]], config: EvaluateConfig) -> Iterator[tuple[Frame, Frame]]:
    """Yield the frames of both clips in pairs."""
    for count, (first, second) in enumerate(zip_longest(*clips)):
        if first is None or second is None:
            shorter, longer = (config.original, config.stylized)[:: 1 if first is None else -1]
            reason = f"ends after {count} frames, {longer} has more"
            raise InputError(shorter, f"{reason}; frames are paired by number: use the same range of both clips")
        yield first, second


def _scaled_to(like: Frame, frame: Frame) -> Frame:
    """Return ``frame`` at the size of ``like``."""
    import cv2

    height, width = like.pixels.shape[:2]
    if frame.pixels.shape[:2] == (height, width):
        return frame
    mode = cv2.INTER_AREA if height < frame.pixels.shape[0] else cv2.INTER_CUBIC
    return frame.with_pixels(np.asarray(cv2.resize(frame.pixels, (width, height), interpolation=mode), np.uint8))
