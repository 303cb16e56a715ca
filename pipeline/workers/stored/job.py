"""A job whose input or output is at a URL, on a worker, which works in local copies.

What is finished goes to the store:

film.mp4               the output, when it is complete
film.mp4.flowbrush/    the work folder, laid out as on a disk, but without locks
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pipeline.config import VideoConfig
from pipeline.encode.writer import EncodeReport
from pipeline.resume.work_folder.manifest import NAME, SUFFIX, job_dir_path, work_dir_path
from pipeline.storage.fetch import fetched, working_folder
from pipeline.storage.mirror import SEGMENTS, Mirror
from pipeline.system.urls import is_url, join_url
from pipeline.workers.join_job import run_join_job
from pipeline.workers.protocol import JoinJob, SegmentJob, SegmentResult
from pipeline.workers.segment_job import PROGRESS


def is_stored(config: VideoConfig) -> bool:
    """Return whether input or output of a clip are at URLs."""
    return is_url(config.source) or is_url(config.target)


def work_url(target: str) -> str:
    """Return the URL of the work folder of an output at a URL."""
    return target + SUFFIX


@contextmanager
def local_config(config: VideoConfig) -> Iterator[VideoConfig]:
    """Context with the same configuration for local files: a copy of the input, an output in a scratch folder.

    Raises:
        InputError: the input cannot be read from its store.
        OutputError: the disk is full.
    """
    with fetched(config.source) as source:
        if not is_url(config.target):
            yield replace(config, source=source)
            return
        with working_folder() as folder:
            yield replace(config, source=source, target=str(folder / config.target.rpartition("/")[2]))


def run_stored_job(job: SegmentJob, run: Callable[[SegmentJob], SegmentResult]) -> SegmentResult:
    """Run a segment job whose input or output is at a URL.

    Args:
        job: the job, with URLs.
        run: runs it with local paths.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
    """
    with local_config(job.config) as config:
        local = replace(job, config=config)
        if not is_url(job.config.target):
            return run(local)
        url, path = work_url(job.config.target), job_dir_path(config.target, job.number)
        Mirror(url, os.path.dirname(path)).pull_file(NAME)
        mirror = Mirror(join_url(url, os.path.basename(path)), path, progress=PROGRESS)
        mirror.pull()
        with mirror.pushed_meanwhile():
            return run(local)


def run_stored_join(job: JoinJob) -> EncodeReport:
    """Make an output at a URL, or from an input at a URL.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
    """
    with local_config(job.config) as config:
        target, url = job.config.target, work_url(job.config.target)
        if not is_url(target):
            return run_join_job(replace(job, config=config))
        mirror = Mirror(url, work_dir_path(config.target))
        mirror.pull(lambda name: name == NAME or name.endswith(SEGMENTS))
        report = run_join_job(replace(job, config=config))
        mirror.push()  # the manifest now knows the size of the output: a later run finds that it is in place
        mirror.push_as(config.target, target)
    return replace(report, path=target)
