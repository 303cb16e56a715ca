"""Segment jobs fit together: their output is that of one worker, or the difference is corrected or reported."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config import VideoConfig
from pipeline.decode.demuxer import MediaReader
from pipeline.errors import DeviceError, EncodeError, InputError
from pipeline.progress import Progress, ProgressCallback
from pipeline.resume.work_folder.manifest import job_dir_path
from pipeline.run import stylize_video
from pipeline.summary import Summary
from pipeline.workers.boundary_frames import NEXT, BoundaryFrame
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.merge import Tolerance
from pipeline.workers.partition import WarmUp
from pipeline.workers.protocol import SegmentJob, SegmentResult
from pipeline.workers.worker_process import Share
from tests.support.batching import streams_of
from tests.support.interrupted.resuming import at_frame, edit_manifest, interrupt
from tests.support.media import make_clip
from tests.support.workers.segment_jobs import (
    ANY_DIFFERENCE,
    BRIEF,
    SMALL_STYLE,
    InlineExecutor,
    Noisy,
    config,
    difference,
    make_clips,
    split_in_two,
    two,
)

Clips = dict[int | None, Path]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("clips"))


# --- the frames at boundaries ---


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_jobs_that_start_at_a_cut_give_the_frames_of_one_worker(
    tmp_path: Path, clips: Clips, stability: str, one_thread: None
) -> None:
    stylize = replace(SMALL_STYLE, stability=stability)
    one, two_jobs = tmp_path / "one.mkv", tmp_path / "two.mkv"
    stylize_video(config(clips[35], one, stylize=stylize))
    executor = InlineExecutor()
    summary = split_in_two(config(clips[35], two_jobs, stylize=stylize), executor)
    start = executor.jobs[1].start
    assert start is not None
    assert start.pts == start.stylized_from_pts == start.observed_from_pts
    assert start.pts == 1167 or stability == "none"
    assert set(difference(one, two_jobs)) == {0}
    audio = [[packet for packet in streams_of(path) if packet[0] == 1] for path in (one, two_jobs)]
    assert audio[0] == audio[1]
    assert (summary.frames, summary.frames_reused, summary.notices) == (60, 0, ())
    assert set(os.listdir(tmp_path)) == {"one.mkv", "two.mkv"}


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_elsewhere_jobs_warm_up_and_differ_invisibly(tmp_path: Path, stability: str, one_thread: None) -> None:
    clip = make_clip(tmp_path / "in.mkv", Noisy(pts=range(0, 260 * 512, 512)))
    stylize = replace(SMALL_STYLE, stability=stability)
    one, two_jobs = tmp_path / "one.mkv", tmp_path / "two.mkv"
    stylize_video(config(clip, one, stylize=stylize))
    executor = InlineExecutor()
    summary = stylize_long_clip(
        config(clip, two_jobs, stylize=stylize), executor, count=two, warm_up=WarmUp(observed=50)
    )
    start = executor.jobs[1].start
    assert start is not None
    assert start.pts - start.stylized_from_pts == 5000
    assert start.stylized_from_pts - start.observed_from_pts == 1667
    assert start.pts % 500 == 0, "where one worker starts a segment"
    found = difference(one, two_jobs)
    assert not any(found[: 30 * start.pts // 1000])
    assert 0 < max(found) < 4
    assert summary.notices == ()


def test_a_job_with_a_visible_boundary_is_run_again(tmp_path: Path, clips: Clips, one_thread: None) -> None:
    one, target = tmp_path / "one.mkv", tmp_path / "out.mkv"
    stylize_video(config(clips[None], one))
    executor = InlineExecutor()
    summary = stylize_long_clip(config(clips[None], target), executor, count=two, warm_up=WarmUp(0, 1, 28))
    (notice,) = summary.notices
    assert "boundary" in notice
    first, again = executor.jobs[1].start, executor.jobs[3].start
    assert first is not None
    assert again is not None
    assert (again.pts, again.stylized_from_pts, first.stylized_from_pts) == (1000, 67, 967)
    assert 0 < max(difference(one, target)) < 8


def test_a_boundary_that_stays_visible_is_reported(tmp_path: Path, clips: Clips, one_thread: None) -> None:
    clip = config(clips[None], tmp_path / "out.mkv")
    summary = stylize_long_clip(clip, InlineExecutor(), count=two, warm_up=WarmUp(0, 1, 1))
    (notice,) = summary.notices
    found = re.search(r"boundary .* by up to (\d+) levels", notice)
    assert found is not None
    assert int(found[1]) >= 4


def test_the_warm_up_is_extended_once_however_often_a_run_is_resumed(
    tmp_path: Path, clips: Clips, one_thread: None
) -> None:
    class Interrupted(InlineExecutor):
        """Interrupts the second round of jobs."""

        def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
            if len(self.jobs) == 2:
                raise KeyboardInterrupt
            return super().submit(job)

    clip, always_visible = config(clips[None], tmp_path / "out.mkv"), Tolerance(0, 0)
    first, again = Interrupted(), InlineExecutor()
    with pytest.raises(KeyboardInterrupt):
        stylize_long_clip(clip, first, count=two, warm_up=WarmUp(0, 2), tolerance=always_visible)
    stylize_long_clip(clip, again, count=two, warm_up=WarmUp(0, 2), tolerance=always_visible)
    starts = [job.start for job in (*first.jobs, *again.jobs) if job.start is not None]
    assert [1000 - start.stylized_from_pts for start in starts] == [67, 200]


# --- jobs that do not meet ---


def misleading_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an mkv whose first three frames are before zero: decoded after a seek, all frames are three earlier."""
    seek, read, moved = MediaReader.seek, MediaReader.read, set[int]()

    def seeking(self: MediaReader, seconds: Fraction) -> None:
        moved.add(id(self))
        seek(self, seconds)

    def reading(self: MediaReader) -> Iterator[Any]:
        for item in read(self):
            if isinstance(item, av.VideoFrame) and id(self) in moved:
                item.pts = (item.pts or 0) - 100
            yield item
        moved.discard(id(self))

    monkeypatch.setattr(MediaReader, "seek", seeking)
    monkeypatch.setattr(MediaReader, "read", reading)


def test_jobs_that_do_not_meet_are_run_again_from_the_start_of_the_input(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", Noisy(pts=range(0, 120 * 512, 512), options={"g": "10", "crf": "12"}))
    one, target = tmp_path / "one.mkv", tmp_path / "out.mkv"
    stylize_video(config(source, one))
    misleading_index(monkeypatch)
    executor = InlineExecutor()
    summary = split_in_two(config(source, target), executor, count=lambda info, workers: 3)
    assert len(executor.jobs) == 6
    assert len(summary.notices) == 2
    assert max(difference(one, target)) < 30, "frames are the same; the warm-up is short"


@dataclass
class Apart(InlineExecutor):
    """Lets each job end before another frame than the one that the next job starts with."""

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        future = super().submit(job)
        if job.end_pts is not None:
            path = Path(job_dir_path(job.config.target, job.number)) / NEXT
            BoundaryFrame(np.zeros((48, 64, 3), np.uint8), job.end_pts + 33, "").write(str(path))
        return future


def test_jobs_that_never_meet_are_an_error(tmp_path: Path, clips: Clips) -> None:
    executor, target = Apart(), tmp_path / "out.mkv"
    with pytest.raises(EncodeError, match="do not meet"):
        split_in_two(config(clips[None], target), executor)
    assert len(executor.jobs) == 4
    assert not target.exists()


def test_a_clip_whose_middle_cannot_be_reached_is_one_job(
    tmp_path: Path, clips: Clips, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MediaReader, "seek", lambda self, seconds: sum(1 for _ in self.read()) and None)
    executor = InlineExecutor()
    summary = split_in_two(config(clips[None], tmp_path / "out.mkv"), executor)
    assert "cannot be split" in summary.notices[0]
    assert (len(executor.jobs), summary.frames) == (1, 60)


# --- one worker and several ---


def test_what_one_worker_started_one_worker_resumes(tmp_path: Path, clips: Clips, one_thread: None) -> None:
    one, target, other = tmp_path / "one.mkv", tmp_path / "out.mkv", tmp_path / "other.mkv"
    stylize_video(config(clips[None], one))
    for path in (target, other):
        with pytest.raises(KeyboardInterrupt):
            stylize_video(config(clips[None], path), progress=at_frame(40, interrupt))
    executor, lines, finished = InlineExecutor(), list[str](), list[bool]()
    summary = stylize_long_clip(
        config(clips[None], target),
        executor,
        count=two,
        notify=lines.append,
        finished=lambda: finished.append(True),
    )
    assert (summary.frames_reused, executor.jobs) == (30, [])
    assert finished == [True]
    assert "one worker" in lines[0]
    assert streams_of(target) == streams_of(one)

    changed = replace(config(clips[None], other), segment_seconds=Fraction(1, 4))
    assert split_in_two(changed, executor).frames_reused == 0
    assert len(executor.jobs) == 2


Run = Callable[[VideoConfig, ProgressCallback], Summary]


def on_one(config: VideoConfig, progress: ProgressCallback) -> Summary:
    return stylize_video(config, progress=progress)


def on_two(config: VideoConfig, progress: ProgressCallback) -> Summary:
    executor = InlineExecutor()
    return stylize_long_clip(config, executor, count=two, warm_up=BRIEF, tolerance=ANY_DIFFERENCE, progress=progress)


@pytest.mark.parametrize("start", [on_one, on_two])
@pytest.mark.parametrize("finish", [on_one, on_two])
def test_finished_segments_become_the_output_with_any_number_of_workers(
    tmp_path: Path, clips: Clips, start: Run, finish: Run, one_thread: None
) -> None:
    target = tmp_path / "out.mkv"

    def progress(state: Progress) -> None:
        if state.frames == 60:
            target.mkdir(exist_ok=True)  # the output cannot be put in place

    with pytest.raises(EncodeError):
        start(config(clips[35], target), progress)
    target.rmdir()
    edit_manifest(target, lambda data: data["identity"]["machine"].update(processor="another"))
    summary = finish(config(clips[35], target), lambda state: None)
    assert (summary.frames, summary.frames_reused) == (60, 60)
    assert os.listdir(tmp_path) == ["out.mkv"]


# --- disk space and memory ---


@pytest.mark.parametrize(("share", "is_noted"), [(1.05, False), (0.95, True)])
def test_finished_jobs_need_no_more_disk_space(
    tmp_path: Path, clips: Clips, one_thread: None, monkeypatch: pytest.MonkeyPatch, share: float, is_noted: bool
) -> None:
    """Half of the frames are finished: the other half and the output are still to be written, and the audio."""
    target, lines = tmp_path / "out.mkv", list[str]()
    with pytest.raises(InputError) as caught:
        split_in_two(config(clips[None], target), InlineExecutor(fails={1}))
    assert caught.value.__notes__[0].startswith("1 s of ")
    finished = sum(path.stat().st_size for path in Path(job_dir_path(str(target), 0)).glob("*.mkv"))
    needed = 3 * finished + clips[None].stat().st_size // 10
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": needed * share}))
    stylize_long_clip(
        config(clips[None], target),
        InlineExecutor(),
        count=two,
        warm_up=BRIEF,
        tolerance=ANY_DIFFERENCE,
        notify=lines.append,
    )
    assert any("may become full" in line for line in lines) == is_noted


def test_workers_share_the_memory_as_they_did_when_the_clip_was_split(
    tmp_path: Path, clips: Clips, one_thread: None
) -> None:
    target, again = tmp_path / "out.mkv", InlineExecutor(sharers=3)
    with pytest.raises(InputError):
        split_in_two(config(clips[None], target), InlineExecutor(sharers=2, fails={1}))
    split_in_two(config(clips[None], target), again)
    assert [job.sharers for job in again.jobs] == [2, 2]

    clip = config(clips[None], target, stylize=replace(SMALL_STYLE, max_memory=3000))
    assert Share(None, 1).limit(SegmentJob(clip, {}, sharers=3)).config.stylize.max_memory == 1000
    with pytest.raises(DeviceError, match="memory") as caught:
        split_in_two(replace(clip, target=str(tmp_path / "b.mkv")), InlineExecutor(sharers=3))
    assert "3 workers" in caught.value.__notes__[0]
