"""Stylize one segment job: a part of a clip, in segments that wait in a work folder for the other jobs.

    decode from before the start -> observe, then stylize the warm-up frames -> stylize -> encode into segments

The folder is within the clip's work folder. It is laid out and resumed as the folder of a whole clip. It also contains

first.safetensors        the job's first frame, stylized
next.safetensors         the frame after its last, stylized: the first of the next job, which must be equal
stylized.part            number of frames stylized so far, for the process that waits
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from pipeline.config import VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.masks.mask import open_mask
from pipeline.decode.source import Source, open_source
from pipeline.encode.errors import encode_errors
from pipeline.encode.writer import Writer
from pipeline.errors import InputError
from pipeline.frames import Frame
from pipeline.resume.engine import load_with_engine
from pipeline.resume.resume_point import frames_after
from pipeline.resume.segments import frame_digest, mark_segments
from pipeline.resume.store import SegmentStore
from pipeline.run import load_stylizer, plan_clip, render_frames
from pipeline.stylize.device import find_device
from pipeline.stylize.engine.memory_budget import queue_depth
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.stylizer import MakeStylizer, StylizeStage
from pipeline.system.files.reading import read_own
from pipeline.system.files.writing import write_loosely
from pipeline.workers.absolute_paths import check_machine
from pipeline.workers.boundary_frames import FIRST, NEXT, BoundaryFrame
from pipeline.workers.protocol import SegmentJob, SegmentResult

PROGRESS = "stylized.part"
PROGRESS_SECONDS = 0.25


def write_progress(folder: str, frames: int) -> None:
    """Write the number of stylized frames into the folder of a segment job."""
    with suppress(OSError):
        write_loosely(os.path.join(folder, PROGRESS), str(frames).encode())


def read_progress(folder: str) -> int:
    """Return the number that `write_progress` wrote; 0 if there is none."""
    with suppress(OSError, ValueError):
        return int(read_own(folder, PROGRESS, most_bytes=32))
    return 0


def run_segment_job(job: SegmentJob, make: MakeStylizer = make_stylizer) -> SegmentResult:
    """Stylize a segment job, or resume it.

    Args:
        job: what to do.
        make: creates the stylizer, called as `Stylizer`.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
    """
    check_machine(job)
    config, notices = job.config, list[str]()
    with (
        open_source(config.source, config.decode, with_side_packets=False, keep_alpha_and_depth=True) as source,
        open_mask(config, source.info) as mask,
    ):
        # The other streams, and whether the output may be replaced, are decided for the whole clip.
        plan = plan_clip(replace(config, encode=replace(config.encode, streams="none", overwrite=True)), source)
        with SegmentStore(config, plan, source, partial(_identify, job), notices.append, job=job.number) as store:
            if not store.is_complete:
                frames = _frames_of(job, source, store)
                load = partial(load_stylizer, source=source, mask=mask, make=make, notify=notices.append)
                stylizer = _load(store, config, load)
                writer = JobWriter(job, store)
                depth = queue_depth(config.depth, source.info)
                render_frames(frames, stylizer, writer, state=store.state, depth=depth, stop=source.stop)
                writer.finish()
            return _result(store, source, notices)


class JobWriter(Writer):
    """Writes a job's own frames to its store, and the frames at its boundaries to be compared."""

    def __init__(self, job: SegmentJob, store: SegmentStore) -> None:
        super().__init__()
        self._config = job.config
        self._start_pts = None if job.start is None else job.start.pts
        self._end_pts = job.end_pts
        self._store = store
        self._is_first = job.start is not None and not store.frames_reused
        self._frames = store.frames_reused
        self._progress_at = 0.0
        store.clear_stale()  # before the first frame is written

    def write(self, frame: Frame) -> None:
        """Write ``frame``, unless it is one for the warm-up."""
        if time.monotonic() - self._progress_at >= PROGRESS_SECONDS:
            self._write_progress()
        if self._end_pts is not None and frame.pts >= self._end_pts:
            self._write_boundary(NEXT, frame)
        elif self._start_pts is None or frame.pts >= self._start_pts:
            if self._is_first:
                self._write_boundary(FIRST, frame)
                self._is_first = False
            self._frames += 1
            self._store.write(frame)

    def finish(self) -> None:
        """Record that the job is complete.

        Raises:
            InputError: the input was changed or removed meanwhile, or does not contain the job's frames.
        """
        self._write_progress()
        self._store.complete()
        if not self._store.manifest.segments:
            raise InputError(self._config.source, "was changed during the run; run again")

    def _write_boundary(self, name: str, frame: Frame) -> None:
        with encode_errors(self._config.target):
            BoundaryFrame.of(frame).write(self._store.work_dir.file(name))

    def _write_progress(self) -> None:
        write_progress(self._store.work_dir.path, self._frames)
        self._progress_at = time.monotonic()


def _identify(job: SegmentJob) -> dict[str, Any]:
    start = job.start
    times = [] if start is None else [start.observed_from_pts, start.stylized_from_pts, start.pts]
    return job.identity | {"job": [*times, job.end_pts]}


def _load(store: SegmentStore, config: VideoConfig, load: Callable[..., StylizeStage]) -> StylizeStage:
    """Load the stylizer with the engine of the finished segments, though on any device of the same kind."""
    engine, here = store.manifest.engine, str(find_device(config.stylize.device))
    if store.frames_reused and _kind(engine["device"]) == _kind(here):
        engine["device"] = here
    return load_with_engine(store.manifest, config.stylize, load)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _result(store: SegmentStore, source: Source, notices: list[str]) -> SegmentResult:
    folder = os.path.basename(store.work_dir.path)
    segments = tuple(replace(each, file=f"{folder}/{each.file}") for each in store.manifest.segments)
    damage = tuple(place.as_json() for place in source.damage)
    return SegmentResult(segments, store.manifest.engine, store.frames_reused, damage, tuple(notices))


def _frames_of(job: SegmentJob, source: Source, store: SegmentStore) -> Iterator[Frame]:
    """Return the warm-up frames, the job's own frames with their boundaries, and the frame after them."""
    frames = store.frames_to_resume()
    if frames is None:
        frames = _from_warm_up(job, source)
    return _marked(job, frames, store.frames_reused)


def _from_warm_up(job: SegmentJob, source: Source) -> Iterator[Frame]:
    start = job.start
    if start is None:
        return decode(source)
    digest = start.previous_digest
    frames = frames_after(source, start.previous_pts, digest) if digest else None
    if frames is None:  # seeking leads to other frames than decoding from the start, which is always right
        source.restart(None)
        frames = decode(source)
    return (frame for frame in frames if frame.pts >= start.observed_from_pts)


def _marked(job: SegmentJob, frames: Iterator[Frame], frames_reused: int) -> Iterator[Frame]:
    config, start = job.config, job.start
    first: list[Frame] = []
    if start is not None and not frames_reused:
        for frame in frames:
            if frame.pts >= start.pts:
                first.append(replace(frame, digest=frame_digest(frame)))
                break
            yield replace(frame, is_observed_only=frame.pts < start.stylized_from_pts)
    following: list[Frame] = []
    own = _before(chain(first, frames), job.end_pts, following)
    yield from mark_segments(own, frames_reused, seconds=config.segment_seconds, length=config.segment_frames)
    for frame in following:
        yield replace(frame, digest=frame_digest(frame))


def _before(frames: Iterator[Frame], end_pts: int | None, following: list[Frame]) -> Iterator[Frame]:
    """Yield ``frames`` up to the one at ``end_pts``, which is put into ``following``."""
    for frame in frames:
        if end_pts is not None and frame.pts >= end_pts:
            following.append(frame)
            return
        yield frame
