"""Clips that several workers stylize: what is resumed, and executors on other machines."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch.config import BatchConfig
from pipeline.batch.session import plan, run_batch
from pipeline.errors import DeviceError, InputError, OutputError, StyleError
from pipeline.frames import Frame
from pipeline.resume.work_folder.manifest import work_dir_path
from pipeline.resume.work_folder.work_dir import describe_partial_output
from pipeline.run import stylize_video
from pipeline.stylize.stylizer import Stylizer
from pipeline.workers.protocol import SegmentJob, SegmentResult
from pipeline.workers.segment_job import run_segment_job
from tests.support.batching import streams_of
from tests.support.networks.styles import write_styles
from tests.support.workers.segment_jobs import InlineExecutor, config, make_clips, split_in_two


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"))


# --- resuming ---


def test_the_jobs_that_finished_before_a_failure_are_resumed(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target, undisturbed = tmp_path / "out.mkv", tmp_path / "undisturbed.mkv"
    split_in_two(config(clips[None], undisturbed), InlineExecutor())
    executor = InlineExecutor(fails={1})
    with pytest.raises(InputError, match="cannot be read on this machine") as caught:
        split_in_two(config(clips[None], target), executor)
    assert executor.cancelled == 2
    assert work_dir_path(str(target)) in caught.value.__notes__[0]
    executor = InlineExecutor(workers=5)
    summary = split_in_two(config(clips[None], target), executor, count=lambda info, workers: 5)
    assert len(executor.jobs) == 2
    assert summary.frames_reused > 0
    assert streams_of(target) == streams_of(undisturbed)
    assert set(os.listdir(tmp_path)) == {"out.mkv", "undisturbed.mkv"}


class FailingStylizer(Stylizer):
    """Fails after the first segment."""

    def __call__(self, frames: Any, state: Any = None) -> Iterator[Frame]:
        for frame in super().__call__(frames, state):
            yield frame
            if frame.boundary is not None:
                raise InputError("in.mkv", "cannot be read any more")


def test_a_job_is_resumed_after_its_last_segment(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target, undisturbed = tmp_path / "out.mkv", tmp_path / "undisturbed.mkv"
    split_in_two(config(clips[None], undisturbed), InlineExecutor())
    with pytest.raises(InputError):
        split_in_two(config(clips[None], target), InlineExecutor(fails={0, 1}))
    with pytest.raises(InputError, match="any more") as caught:
        split_in_two(config(clips[None], target), InlineExecutor(make=FailingStylizer))
    assert caught.value.__notes__[0].startswith("1 s of ")
    summary = split_in_two(config(clips[None], target), InlineExecutor())
    assert summary.frames_reused == 30
    assert streams_of(target) == streams_of(undisturbed)


def test_one_worker_does_not_resume_what_several_started(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(InputError):
        split_in_two(config(clips[None], target), InlineExecutor(fails={1}))
    partial_output = sorted(tmp_path.rglob("*"))
    assert "are finished in" in describe_partial_output(str(target), is_fresh=False)
    with pytest.raises(OutputError, match=r"several workers.*--fresh"):
        stylize_video(config(clips[None], target))
    assert sorted(tmp_path.rglob("*")) == partial_output
    assert stylize_video(replace(config(clips[None], target), fresh=True)).frames_reused == 0
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_errors_of_a_job_name_the_output(tmp_path: Path, clips: dict[int | None, Path], one_thread: None) -> None:
    """The limit on the size of files stands for a full disk."""
    resource = pytest.importorskip("resource")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, unlimited[1]))
    try:
        with pytest.raises(OutputError) as caught:
            split_in_two(config(clips[None], tmp_path / "out.mkv"), InlineExecutor())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert caught.value.path == str(tmp_path / "out.mkv")


# --- other executors ---


class RemoteExecutor(InlineExecutor):
    """Runs jobs in another working directory, as another machine does."""

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        with contextlib.chdir("/"):
            return super().submit(job)


def test_a_cluster_needs_nothing_but_an_executor(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source, name in ((clips[None], "in.mkv"), (clips[35], "mask.mkv")):
        shutil.copy(source, name)
    weights = write_styles(Path("w.safetensors"), "minotaur", "starry-night").read_bytes()
    options = {"mask": "mask.mkv", "device": "cpu", "engine": "eager", "precision": "fp32"}
    batch = BatchConfig(
        inputs=("in.mkv",), output=Path("out"), styles=("great-wave:1,w.safetensors#minotaur:2",), options=options
    )
    planned, executor = plan(batch), RemoteExecutor()
    assert run_batch(batch, planned, executor=executor).painted == 1
    clip = replace(planned.steps[0].job.config, target="other.mkv")
    assert split_in_two(clip, executor).frames == 60
    assert [job.number for job in executor.jobs] == [0, 0, 1]

    job = executor.jobs[0]
    os.unlink("w.safetensors")
    assert isinstance(InlineExecutor().submit(job).exception(), StyleError)
    Path("w.safetensors").write_bytes(weights)
    identity = {**job.identity, "mask": {}, "software": {**job.identity["software"], "torch": "1.0"}}
    with pytest.raises(DeviceError, match=r"in\.mkv: .* other mask and software \(torch\) than"):
        run_segment_job(replace(job, identity=identity))
