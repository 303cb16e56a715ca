"""One clip on several workers: divided, painted in parts, joined by what joins every render.

find_seams -> a task for each part -> engine -> segments of all parts -> assemble
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from pipeline.config import VideoConfig
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.progress import Progress, ProgressCallback
from pipeline.resume.manifest import is_placed
from pipeline.resume.resumable import Finished, Notify, is_resumable
from pipeline.run import stylize_video
from pipeline.stylize.style import find_style
from pipeline.stylize.stylizer import stylized_width_px
from pipeline.summary import Notices, Summary, summary_of
from pipeline.workers.merge import CountParts, DividedRender, is_begun_alone
from pipeline.workers.partition import count_parts
from pipeline.workers.protocol import SegmentExecutor, SegmentJob, SegmentResult

LOOK_SECONDS = 0.25


def stylize_long_clip(
    config: VideoConfig,
    engine: SegmentExecutor,
    *,
    progress: ProgressCallback = lambda state: None,
    notify: Notify = lambda line: None,
    count: CountParts = count_parts,
    finished: Finished = lambda: None,
) -> Summary:
    """Paint the video ``config.source`` into ``config.target`` as `pipeline.run.stylize_video` does, with an engine.

    Args:
        config: what, how and where; what is not kept in segments, see
            `pipeline.resume.resumable.is_resumable`, is painted here.
        engine: that paints the parts.
        progress: called now and then in the calling thread.
        notify: called with each thing that the user should know, one line.
        count: decides into how many parts the clip is divided, as `count_parts` does.
        finished: called when the target, which appears whole or not at all, is in its place.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: a codec, quality or preset that does not exist.
    """
    if not is_resumable(config):
        return stylize_video(config, progress=progress, notify=notify, finished=finished)
    begun, notices = time.perf_counter(), Notices(notify)
    card = find_style(config.stylize.style, config.stylize.style_end)
    with open_source(config.source, config.decode, reads_along=False, keep_alpha_and_depth=True) as source:
        size = stylized_width_px(source.info.width, config.stylize.compare), source.info.height
        plan = plan_output(source, config.target, config.encode, size=size, may_replace=is_placed(config.target))
        if is_begun_alone(config, plan):
            notify("one worker began it: one goes on with it")
            return stylize_video(config, progress=progress, notify=notify, finished=finished)
        notices.say(plan.notices)
        with DividedRender(config, plan, source, card.tag if config.tag else {}, notices) as render:
            watch = _Watch(render, source.info.frame_count, progress)
            if not render.is_whole:
                render.divide(engine, count)
                results = _stylized(render.tasks(), engine, watch)
                if render.lengthen(results, notices):
                    results = _stylized(render.tasks(), engine, watch)
                render.join(results, notices)
            written = render.encode(())
            finished()
        return summary_of(
            written,
            watch.progress(written.frames),
            render.engine,
            notices,
            source.damage,
            style=card.name,
            first_frame_at=watch.first_frame_at,
            streams=plan.streams,
            begun=begun,
        )


class _Watch:
    """Tells how far all parts are."""

    def __init__(self, render: DividedRender, total: int | None, report: ProgressCallback) -> None:
        self.first_frame_at = time.time()
        self.frames = 0
        self._render = render
        self._total = total
        self._report = report
        self._first = time.perf_counter()

    def __call__(self) -> None:
        """Look, and tell."""
        frames = max(self._render.stylized(), self.frames)
        if frames <= self._render.reused:  # the first new one comes behind this moment
            self.first_frame_at, self._first = time.time(), time.perf_counter()
        self.frames = frames
        self._report(self.progress(frames))

    def progress(self, frames: int) -> Progress:
        """Where the run stands with so many frames."""
        seconds = max(time.perf_counter() - self._first, 1e-9)
        return Progress(frames, self._total, seconds, {"stylize": 1.0}, min(self._render.reused, frames))


def _stylized(tasks: Sequence[SegmentJob], engine: SegmentExecutor, look: Callable[[], None]) -> list[SegmentResult]:
    """The results of all tasks; the first failure ends the others."""
    futures: list[Future[SegmentResult]] = []
    try:
        futures.extend(map(engine.submit, tasks))
        while True:
            done, left = wait(futures, LOOK_SECONDS, FIRST_EXCEPTION)
            for future in done:
                future.result()
            look()
            if not left:
                return [future.result() for future in futures]
    except BaseException:
        engine.cancel(futures)  # nobody may be at work in the folder when it is left
        raise
