"""A painted clip held against the clip that it was made from: still, like the painting, like the scene?

Both clips are read once, frame by frame; what is kept are the last eleven frames of each.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decode.decoder import decode
from pipeline.decode.source import Source, open_source
from pipeline.errors import DeviceError, InputError
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.perceptual import PerceptualMetrics
from pipeline.evaluate.scores import ScoreAccumulator, Scores
from pipeline.frames import Frame
from pipeline.media.damage import damage_notice
from pipeline.media.stills import read_image
from pipeline.notices import Notices, Notify
from pipeline.threads import prefetch
from pipeline.train.loss_networks import find_loss_networks

if TYPE_CHECKING:
    from models.flow import FlowEstimator

SMALLEST_PX = 16
DEPTH = 2

TOGETHER = "the scores stand together: less paint is stiller for free"

Progress = Callable[[int, int | None], None]


def evaluate(
    config: EvaluateConfig, progress: Progress = lambda done, total: None, *, notify: Notify = lambda line: None
) -> Scores:
    """Measure the painted clip; formulas in docs/measures.md.

    Args:
        config: which clips, and against what.
        progress: called after each frame with the number of frames done and an estimate of all.
        notify: called with each thing that the user should know, one line.

    Raises:
        InputError: a file cannot be read, or the clips do not belong together.
        DeviceError: OpenCV, which finds the flow, cannot be loaded.
    """
    notices = Notices(notify)
    finder = _flow_finder()
    likeness, network = _likeness(config, notices)
    with ExitStack() as open_now:
        original = open_now.enter_context(open_source(config.original))
        stylized = open_now.enter_context(open_source(config.stylized))
        _check_shapes(original, stylized, notices)
        total = _estimate(original, stylized, notices)
        originals, painted = (
            open_now.enter_context(prefetch(decode(source), depth=DEPTH, name="decode", stop=source.stop))
            for source in (original, stylized)
        )
        tally = ScoreAccumulator(finder, likeness, total=total, pairs=config.frames)
        for frame, painting in _together(originals, painted, config):
            tally.add(_fitted(frame, painting), painting)
            progress(tally.frames, total)
        for notice in (*damage_notice(original.damage), *damage_notice(stylized.damage)):
            notices(notice)
    if tally.frames < 2:
        raise InputError(config.stylized, "holds a single frame; stillness needs two or more")
    painting_name = config.painting.name if config.painting and network else None
    return tally.scores(network, painting_name, (*notices.lines, TOGETHER))


def _flow_finder() -> "FlowEstimator":
    try:
        from models.flow import DisFlow

        return DisFlow("medium")
    except ImportError as error:
        raise DeviceError(f"OpenCV cannot be loaded ({error}); `flowbrush doctor` tells what is missing") from error


def _likeness(config: EvaluateConfig, notify: Notify) -> tuple[PerceptualMetrics | None, str | None]:
    """What measures style and content, and by which network; a download that fails leaves both out."""
    import torch

    painting = None if config.painting is None else read_image(config.painting)
    files = [] if config.loss_weights is None else [config.loss_weights]
    try:
        networks, _ = find_loss_networks(files, torch.device("cpu"), notify)
    except InputError as error:
        if files:
            raise
        notify(f"style and content are not measured: {error}")
        return None, None
    return PerceptualMetrics(networks[0], painting), networks[0].name


def _check_shapes(original: Source, stylized: Source, notify: Notify) -> None:
    """Another size is made to fit, another shape is another picture."""
    before, after = original.info, stylized.info
    sizes = f"{after.width}x{after.height}, {before.path} {before.width}x{before.height}"
    if min(after.width, after.height) < SMALLEST_PX:
        raise InputError(after.path, f"is {after.width}x{after.height} px; {SMALLEST_PX} px or more are needed")
    if (before.width, before.height) == (after.width, after.height):
        return
    fitting_width = before.width * after.height / before.height
    if abs(fitting_width - after.width) > 2 + 0.01 * after.width:
        raise InputError(after.path, f"is {sizes}: another shape; give the same picture, painted without --compare")
    notify(f"{after.path} is {sizes}: the original is scaled to it, as scaled paint would be stiller")


def _estimate(original: Source, stylized: Source, notify: Notify) -> int | None:
    """How many frames there will be, where the headers tell; they may lie, so that nothing is refused yet."""
    counts = [source.info.frame_count for source in (original, stylized)]
    known = [count for count in counts if count is not None]
    if len(set(known)) == 2:
        notify(
            f"the headers tell of {counts[0]} and {counts[1]} frames; if that is true, the clips do not belong together"
        )
    return min(known, default=None)


def _together(
    originals: Iterable[Frame], painted: Iterable[Frame], config: EvaluateConfig
) -> Iterator[tuple[Frame, Frame]]:
    """The frames of both clips, by their number."""
    for count, (original, stylized) in enumerate(zip_longest(originals, painted)):
        if original is None or stylized is None:
            ended, longer = (config.original, config.stylized)[:: 1 if original is None else -1]
            reason = f"ends after {count} frames, {longer} goes on"
            raise InputError(ended, f"{reason}; frames pair up by number, so paint or cut both to the same part")
        yield original, stylized


def _fitted(frame: Frame, like: Frame) -> Frame:
    """The frame at the size of another."""
    import cv2

    height, width = like.pixels.shape[:2]
    if frame.pixels.shape[:2] == (height, width):
        return frame
    kind = cv2.INTER_AREA if height < frame.pixels.shape[0] else cv2.INTER_CUBIC
    return frame.with_pixels(np.asarray(cv2.resize(frame.pixels, (width, height), interpolation=kind), np.uint8))
