"""What a worker on another machine may see differently, and the output that a worker makes."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import VideoConfig
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.resume import fingerprint
from pipeline.resume.work_folder.manifest import NAME, work_dir_path
from pipeline.workers.absolute_paths import check_machine
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.protocol import SegmentJob
from pipeline.workers.segment_job import run_segment_job
from tests.support.batching import streams_of
from tests.support.workers.segment_jobs import InlineExecutor, config, make_clips, split_in_two


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def job(tmp_path: Path, clips: dict[int | None, Path]) -> SegmentJob:
    """The first job of a clip that another machine has split; the clip and its work folder are here."""
    source = Path(shutil.copy2(clips[None], tmp_path / "in.mkv"))
    executor = InlineExecutor(fails={0})
    with pytest.raises(InputError, match="on this machine"):
        split_in_two(config(source, tmp_path / "out.mkv"), executor)
    folder = Path(work_dir_path(str(tmp_path / "out.mkv")))
    folder.mkdir(exist_ok=True, mode=0o700)
    (folder / NAME).touch()
    return executor.jobs[0]


def refusal(job: SegmentJob, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        run_segment_job(job)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_file_under_the_same_path_is_refused(
    job: SegmentJob, clips: dict[int | None, Path], tmp_path: Path
) -> None:
    check_machine(job)
    source = tmp_path / "in.mkv"
    shutil.copy2(clips[35], source)
    assert "sees another file there, " in refusal(job, InputError)
    assert "mount the same folder there" in refusal(job, InputError)
    content = bytearray(clips[None].read_bytes())
    content[-1] ^= 1
    source.write_bytes(content)
    assert "sees another file there, of the same size" in refusal(job, InputError)
    source.unlink()
    assert "does not see it; mount" in refusal(job, InputError)


def test_an_equal_copy_with_another_time_will_do(job: SegmentJob, tmp_path: Path) -> None:
    os.utime(tmp_path / "in.mkv", (1, 1))
    check_machine(job)


def test_a_worker_without_the_output_folder_writes_nothing(job: SegmentJob, tmp_path: Path) -> None:
    shutil.rmtree(work_dir_path(str(tmp_path / "out.mkv")))
    assert "does not see its work folder; mount" in refusal(job, OutputError)
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_a_build_for_another_device_is_the_same_version(job: SegmentJob, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = fingerprint.software()
    monkeypatch.setattr(fingerprint, "software", lambda: {**versions, "torch": f"{versions['torch']}.x+cu999"})
    with pytest.raises(DeviceError, match=r"other software \(torch\)"):
        check_machine(job)
    public = (versions["torch"] or "").partition("+")[0]
    monkeypatch.setattr(fingerprint, "software", lambda: {**versions, "torch": f"{public}+cu999"})
    check_machine(job)


# --- the output ---


def test_a_worker_joins_the_segments_as_the_driver_does(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    split_in_two(config(clips[None], tmp_path / "here.mkv"), InlineExecutor())
    summary = split_in_two(config(clips[None], tmp_path / "there.mkv"), InlineExecutor(joins=True))
    assert summary.frames == 60
    assert streams_of(tmp_path / "here.mkv") == streams_of(tmp_path / "there.mkv")
    assert sorted(os.listdir(tmp_path)) == ["here.mkv", "there.mkv"]


def test_an_output_that_nobody_recorded_is_found_by_the_next_run(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    """The worker has put it in place, and the driver was killed before it heard of that."""
    clip, executor = config(clips[None], tmp_path / "out.mkv"), InlineExecutor(joins=True)

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_long_clip(clip, executor, count=lambda info, workers: 1, finished=killed)
    before = (tmp_path / "out.mkv").stat()
    summary = stylize_long_clip(clip, executor, count=lambda info, workers: 1)
    assert summary.frames_reused == 60
    assert (tmp_path / "out.mkv").stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_segments_that_are_missing_on_the_joining_worker_are_an_error(
    tmp_path: Path, clips: dict[int | None, Path], one_thread: None
) -> None:
    class Elsewhere(InlineExecutor):
        """Joins on a machine that does not see a segment."""

        def _join(self, job):  # type: ignore[no-untyped-def]
            next(Path(work_dir_path(job.config.target)).glob("job0000*/*.mkv")).unlink()
            return super()._join(job)

    clip: VideoConfig = replace(config(clips[None], tmp_path / "out.mkv"))
    with pytest.raises(OutputError, match=r"some segments in .* are missing"):
        split_in_two(clip, Elsewhere(joins=True))
    assert not (tmp_path / "out.mkv").exists()
    assert split_in_two(clip, InlineExecutor(joins=True)).frames == 60
