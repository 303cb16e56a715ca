"""Stylize one clip on several workers: split, segment jobs, merge.

find_boundaries -> segment jobs -> executor -> segments of all jobs -> concat
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import replace
from functools import partial

from pipeline.config import RefineConfig, VideoConfig
from pipeline.decode.source import Source, open_source
from pipeline.encode.writer import EncodeReport
from pipeline.errors import TooLittleMemoryError
from pipeline.notices import Notices, Notify
from pipeline.progress import ProgressCallback, ProgressMeter
from pipeline.resume.resumable import finish_output, is_resumable
from pipeline.resume.store import SegmentStore
from pipeline.resume.work_folder.work_dir import remove_work_dir
from pipeline.run import plan_clip, stylize_video
from pipeline.stylize.style import style_of
from pipeline.summary import Summary, summarize
from pipeline.tracking.track import ReportTracking, track_mask, with_tracked_mask
from pipeline.train.refine import ReportRefinement, refine_picture
from pipeline.workers.merge import (
    TOLERANCE,
    CountJobs,
    SplitClip,
    Tolerance,
    has_partial_output_of_one_process,
    identify_split,
)
from pipeline.workers.partition import WARM_UP, WarmUp, count_jobs
from pipeline.workers.protocol import JoinJob, SegmentExecutor, SegmentJob, SegmentResult

PROGRESS_SECONDS = 0.25


def stylize_long_clip(
    config: VideoConfig,
    executor: SegmentExecutor,
    *,
    progress: ProgressCallback = lambda progress: None,
    notify: Notify = lambda line: None,
    count: CountJobs = count_jobs,
    warm_up: WarmUp = WARM_UP,
    tolerance: Tolerance = TOLERANCE,
    refining: ReportRefinement = lambda report: None,
    tracking: ReportTracking = lambda frames, total: None,
    finished: Callable[[], None] = lambda: None,
) -> Summary:
    """Stylize the video ``config.source`` into ``config.target`` as `pipeline.run.stylize_video` does, on workers.

    Args:
        config: what, how and where; a clip that is not resumable, see `is_resumable`, is stylized in this process.
        executor: runs the segment jobs.
        progress: called several times a second, in the calling thread.
        notify: called with each notice, one line.
        count: returns the number of segment jobs for a clip and a number of workers.
        warm_up: frames before the start of a job.
        tolerance: differences at the boundaries of jobs that count as visible.
        refining: called after each step of a refinement, see `pipeline.train.refine`.
        tracking: called after each frame whose mask was tracked, see `pipeline.tracking.track`.
        finished: called when the target is in place; it appears complete or not at all.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: there is no such codec, quality or preset.
    """
    alone = partial(
        stylize_video, progress=progress, notify=notify, refining=refining, tracking=tracking, finished=finished
    )
    if not is_resumable(config):
        return alone(config)
    started, notices, whole = time.perf_counter(), Notices(notify), config
    style = style_of(config.stylize)
    with open_source(config.source, config.decode, with_side_packets=False, keep_alpha_and_depth=True) as source:
        plan = plan_clip(config, source)
        if has_partial_output_of_one_process(config, plan):
            notify("one worker started this clip: one worker resumes it")
            return alone(config)
        notices.extend(plan.notices)
        with SegmentStore(config, plan, source, partial(identify_split, config, plan), notices) as store:
            if not store.is_complete:
                config = _prepare(config, source, store, refining, tracking, notices)
            clip = SplitClip(config, source, store, warm_up=warm_up, tolerance=tolerance)
            meter = ProgressMeter(source.info.frame_count, reused=clip.frames_reused, report=progress)
            if not store.is_complete:
                _stylize(clip, executor, count, meter, notices)
            if executor.join is None or store.is_placed:
                written = finish_output(store, plan, source, style.tag if config.tag else {})
                meter.update(written.frames)
                finished()
            else:
                store.complete()
                store.release()  # the worker locks the folder now
                written = _join(clip.join_job(whole), store.manifest.frames, executor, meter)
                finished()
                remove_work_dir(config.target)
        return summarize(
            written,
            meter,
            notices,
            source.damage,
            style=style.name,
            engine=store.manifest.engine,
            streams=[stream.entry for stream in plan.streams],
            started=started,
        )


def _prepare(
    config: VideoConfig,
    source: Source,
    store: SegmentStore,
    refining: ReportRefinement,
    tracking: ReportTracking,
    notices: Notices,
) -> VideoConfig:
    """Refine the style and track the mask, both once for all workers; return the settings with the results."""
    if config.refine.seconds:
        refine = partial(refine_picture, config, report=refining, notify=notices)
        config = replace(config, stylize=store.refined(refine), refine=RefineConfig())
    track = partial(track_mask, config, source, report=tracking, notify=notices)
    return with_tracked_mask(config, store.tracked_mask, track)


def _stylize(
    clip: SplitClip, executor: SegmentExecutor, count: CountJobs, meter: ProgressMeter, notices: Notices
) -> None:
    """Split the clip, run its jobs, those whose boundaries show a second time, and merge their segments."""
    clip.split(executor, count, notices)
    meter.reused = clip.frames_reused
    results = _run(clip, executor, meter)
    if clip.redo_misfits(results, notices):
        results = _run(clip, executor, meter)
    clip.merge(results, notices)
    meter.reused = clip.frames_reused


def _join(job: JoinJob, frames: int, executor: SegmentExecutor, meter: ProgressMeter) -> EncodeReport:
    """Have a worker make the output of ``frames`` frames."""
    assert executor.join is not None  # noqa: S101 - for mypy: the caller has asked
    future = executor.join(job)
    try:
        while not future.done():
            wait([future], PROGRESS_SECONDS)
            meter.update(frames)
        return future.result()
    except BaseException:
        if not future.done():
            executor.cancel([future])
        raise


def _run(clip: SplitClip, executor: SegmentExecutor, meter: ProgressMeter) -> list[SegmentResult]:
    """Return the results of all segment jobs of ``clip``; the first failure ends the others."""
    futures: list[Future[SegmentResult]] = []
    jobs: Sequence[SegmentJob] = clip.jobs()
    try:
        futures.extend(map(executor.submit, jobs))
        while True:
            done, waiting = wait(futures, PROGRESS_SECONDS, FIRST_EXCEPTION)
            for future in done:
                future.result()
            meter.update(clip.stylized_frames())
            if not waiting:
                return [future.result() for future in futures]
    except BaseException as error:
        executor.cancel(futures)  # nobody may write into the folder after it is unlocked
        if isinstance(error, TooLittleMemoryError) and jobs[0].sharers > 1:
            error.add_note(f"{jobs[0].sharers} workers share the memory")
        raise
