"""Segment jobs for tests: clips to split, an executor in this process, and comparisons of outputs."""

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.encode.writer import EncodeReport
from pipeline.errors import InputError, PipelineError
from pipeline.resume.work_folder.manifest import work_dir_path
from pipeline.stylize.stylizer import MakeStylizer, Stylizer
from pipeline.summary import Summary
from pipeline.system.lock import is_held_here
from pipeline.system.urls import is_url
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.merge import CountJobs, Tolerance
from pipeline.workers.partition import WarmUp
from pipeline.workers.protocol import JoinJob, SegmentExecutor, SegmentJob, SegmentResult
from pipeline.workers.segment_job import run_segment_job
from pipeline.workers.stored.job import run_stored_job, run_stored_join
from tests.support.media import Audio, Clip, make_clip, moving_square

SMALL_STYLE = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", threads=1)
BRIEF = WarmUp(observed=6, stylized=12)
ANY_DIFFERENCE = Tolerance(256, 256)


@dataclass
class Noisy(Clip):
    """A square that moves through noise, with a scene cut at frame ``cut``."""

    cut: int | None = None

    def frame(self, number: int) -> av.VideoFrame:
        pixels = moving_square(number, width=self.width, height=self.height, step=1).astype(np.int16)
        pixels += np.random.default_rng(number).integers(-4, 5, pixels.shape, np.int16)
        if self.cut is not None and number >= self.cut:
            pixels = 255 - pixels[::-1]
        return av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), "rgb24").reformat(format="yuv420p")


@dataclass
class InlineExecutor:
    """Runs segment jobs in this process; they arrive as bytes, as over a network.

    Attributes:
        fails: numbers of the jobs that fail.
        make: creates the stylizers.
        jobs: all jobs that were submitted.
        cancelled: number of jobs that were cancelled.
        joins: whether a worker makes the output.
    """

    workers: int = 2
    threads: int = 1
    sharers: int = 1
    fails: set[int] = field(default_factory=set)
    make: MakeStylizer = Stylizer
    jobs: list[SegmentJob] = field(default_factory=list)
    cancelled: int = 0
    joins: bool = False

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        sent = pickle.dumps(job)
        assert len(sent) < 10_000
        self.jobs.append(pickle.loads(sent))
        future: Future[SegmentResult] = Future()
        if job.number in self.fails:
            future.set_exception(InputError(job.config.source, "cannot be read on this machine"))
        else:
            try:
                run = partial(run_segment_job, make=self.make)
                future.set_result(pickle.loads(pickle.dumps(run_stored_job(self.jobs[-1], run))))
            except PipelineError as error:
                future.set_exception(error)
        return future

    @property
    def join(self) -> Callable[[JoinJob], "Future[EncodeReport]"] | None:
        return self._join if self.joins else None

    def _join(self, job: JoinJob) -> "Future[EncodeReport]":
        future: Future[EncodeReport] = Future()
        try:
            future.set_result(run_stored_join(pickle.loads(pickle.dumps(job))))
        except PipelineError as error:
            future.set_exception(error)
        return future

    def cancel(self, futures: "Sequence[Future[Any]]") -> None:
        target = self.jobs[-1].config.target
        assert is_url(target) or is_held_here(os.path.join(work_dir_path(target), "lock"))
        self.cancelled += len(futures)

    def close(self) -> None:
        pass


def two(info: object, workers: int) -> int:
    """Split every clip into two jobs."""
    return 2


def split_in_two(config: VideoConfig, executor: SegmentExecutor, count: CountJobs = two) -> Summary:
    """Stylize a clip in two jobs with so short a warm-up that the boundary may be visible."""
    return stylize_long_clip(config, executor, count=count, warm_up=BRIEF, tolerance=ANY_DIFFERENCE)


def config(source: Path, target: Path, **changes: Any) -> VideoConfig:
    encode = EncodeConfig(codec="ffv1", threads=1)
    return VideoConfig(
        source=str(source),
        target=str(target),
        stylize=changes.pop("stylize", SMALL_STYLE),
        encode=encode,
        segment_seconds=Fraction(1, 2),
        **changes,
    )


def frames_of(path: Path) -> list[tuple[int | None, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.pts, frame.to_ndarray(format="gbrp")) for frame in container.decode(video=0)]


def difference(path: Path, other: Path) -> list[int]:
    """Return the largest difference in each frame."""
    a, b = frames_of(path), frames_of(other)
    assert [frame[0] for frame in a] == [frame[0] for frame in b]
    return [int(np.abs(x[1].astype(int) - y[1]).max()) for x, y in zip(a, b, strict=True)]


def make_clips(folder: Path) -> dict[int | None, Path]:
    """Write clips of 60 frames with audio: one with a scene cut at 35, near the best boundary, one without."""
    pts = range(0, 60 * 512, 512)
    return {
        cut: make_clip(folder / f"{cut}.mkv", Noisy(pts=pts, audio=[Audio(seconds=Fraction(2))], cut=cut))
        for cut in (35, None)
    }
