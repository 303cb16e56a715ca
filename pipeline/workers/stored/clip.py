"""A clip whose input or output is at a URL, for the process that splits it: it works in local copies.

Workers get the URLs. What they report comes back through the store, where the work folder is: progress, and the frames
at the boundaries between jobs.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipeline.config import VideoConfig
from pipeline.encode.writer import EncodeReport
from pipeline.errors import OutputError
from pipeline.resume.work_folder.manifest import (
    NAME,
    Manifest,
    ManifestError,
    job_dir_path,
    read_manifest,
    work_dir_path,
)
from pipeline.storage.mirror import Mirror
from pipeline.summary import Summary
from pipeline.system.urls import is_url, join_url
from pipeline.workers.boundary_frames import FIRST, NEXT
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.protocol import JoinJob, SegmentExecutor, SegmentJob, SegmentResult
from pipeline.workers.segment_job import PROGRESS
from pipeline.workers.stored.job import is_stored, local_config, run_stored_join, work_url

# How often the progress of the workers is read from the store.
PROGRESS_SECONDS = 5.0


def stylize_clip(config: VideoConfig, executor: SegmentExecutor, **settings: Any) -> Summary:
    """Stylize a clip as `stylize_long_clip` does; input and output may be URLs.

    Args:
        config: what, how and where.
        executor: runs the segment jobs.
        settings: as `stylize_long_clip` takes them.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: there is no such codec, quality or preset.
    """
    if not is_stored(config):
        return stylize_long_clip(config, executor, **settings)
    if config.refine.seconds:  # the refined style would have to be in the store
        raise OutputError(
            config.target, "--refine needs inputs and outputs that are paths; leave it out, or mount them"
        )
    if config.mask_track:  # as would the tracked mask
        raise OutputError(
            config.target, "--mask-track needs inputs and outputs that are paths; leave it out, or mount them"
        )
    with local_config(config) as local:
        mirror = None
        if is_url(config.target):
            mirror = Mirror(work_url(config.target), work_dir_path(local.target))
            if config.fresh:
                mirror.clear()
            _take_over(mirror, work_dir_path(local.target))
        stored = StoredExecutor(executor, config, local, mirror)
        try:
            summary = stylize_long_clip(local, stored, **settings)
        finally:
            stored.close()
        if mirror is not None:
            mirror.clear()
        return replace(summary, output=config.target)


def _take_over(mirror: Mirror, path: str) -> None:
    """Copy from the store how an earlier run split the clip, and how far its jobs are.

    Their segments stay there, so that the jobs are run again, which find all of them.
    """
    mirror.pull(lambda name: os.path.basename(name) == NAME)
    with suppress(ManifestError):
        manifest = read_manifest(path)
        if manifest is not None:
            kept = Manifest(manifest.identity, time_base=manifest.time_base, seconds=manifest.seconds)
            kept.split = manifest.split
            kept.write(path)


class StoredExecutor:
    """A `SegmentExecutor` that gives URLs to the workers of another one.

    Args:
        executor: the other one.
        config: of the clip, with URLs.
        local: of the clip, with local copies.
        mirror: work folder of the clip; None if its output is a path.
    """

    def __init__(
        self, executor: SegmentExecutor, config: VideoConfig, local: VideoConfig, mirror: Mirror | None
    ) -> None:
        self.threads, self.sharers = executor.threads, executor.sharers
        self._executor = executor
        self._config = config
        self._local = local
        self._mirror = mirror
        self._inner: dict[Future[Any], Future[Any]] = {}
        self._threads = ThreadPoolExecutor(2, "flowbrush-store")
        self._ended = threading.Event()
        self._jobs: list[int] = []
        if mirror is not None:
            self._threads.submit(self._read_progress)

    @property
    def workers(self) -> int:
        """As of the other executor."""
        return self._executor.workers

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        """Run ``job`` with URLs; its boundary frames are here when it is done."""
        outer: Future[SegmentResult] = Future()
        if self._mirror is None:
            return self._executor.submit(replace(job, config=self._with_urls(job.config)))
        if not self._jobs:
            self._mirror.push()  # the split is in the store before the first job
        self._jobs.append(job.number)
        inner = self._executor.submit(replace(job, config=self._with_urls(job.config)))
        self._inner[outer] = inner
        inner.add_done_callback(lambda done: self._threads.submit(self._receive, job, done, outer))
        return outer

    def join(self, job: JoinJob) -> "Future[EncodeReport]":
        """Make the output on a worker, or else here."""
        if self._mirror is not None:
            self._mirror.push()
        job = replace(job, config=self._with_urls(job.config))
        join = self._executor.join
        return self._threads.submit(run_stored_join, job) if join is None else join(job)

    def cancel(self, futures: "Sequence[Future[Any]]") -> None:
        """Cancel these jobs; see `SegmentExecutor.cancel`."""
        self._executor.cancel([self._inner.get(future, future) for future in futures])
        wait([future for future in futures if future in self._inner])

    def close(self) -> None:
        """Stop reading progress; the other executor is not closed."""
        self._ended.set()
        self._threads.shutdown()

    def _with_urls(self, config: VideoConfig) -> VideoConfig:
        return replace(config, source=self._config.source, target=self._config.target)

    def _receive(self, job: SegmentJob, inner: "Future[SegmentResult]", outer: "Future[SegmentResult]") -> None:
        """Pass on the result of a job, after its boundary frames have been read from the store."""
        try:
            result = inner.result()
            folder = job_dir_path(self._local.target, job.number)
            mirror = Mirror(join_url(work_url(self._config.target), os.path.basename(folder)), folder)
            for name in (FIRST, NEXT, PROGRESS):
                mirror.pull_file(name)
        except BaseException as error:  # noqa: BLE001 - passed on
            outer.set_exception(error)
        else:
            outer.set_result(result)

    def _read_progress(self) -> None:
        while not self._ended.wait(PROGRESS_SECONDS):
            for number in list(self._jobs):
                folder = job_dir_path(self._local.target, number)
                with suppress(OutputError):
                    mirror = Mirror(join_url(work_url(self._config.target), os.path.basename(folder)), folder)
                    mirror.pull_file(PROGRESS)
