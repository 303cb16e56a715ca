"""Worker processes of this machine: results, errors, deaths, and the death of their parent."""

import errno
import json
import multiprocessing
import multiprocessing.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch

from pipeline.config import DecodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.resume.fingerprint import usable_cores
from pipeline.resume.work_folder.manifest import job_dir_path
from pipeline.resume.work_folder.work_dir import WorkDir
from pipeline.workers.executors import start_executor
from pipeline.workers.local_pool import LocalPool, default_workers
from pipeline.workers.protocol import SegmentJob
from pipeline.workers.segment_job import PROGRESS
from pipeline.workers.worker_process import Share, Worker
from tests.support.batching import ROOT, command, names_of, outputs_in, run, streams_of
from tests.support.interrupted.resuming import parts_of
from tests.support.media import make_clip
from tests.support.workers.segment_jobs import InlineExecutor, Noisy, config, make_clips, split_in_two


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"))


def job(source: Path, target: Path) -> SegmentJob:
    """A whole clip as a segment job."""
    return SegmentJob(config(source, target), {})


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(2, "cpu")
    yield pool
    pool.close()


def test_workers_stylize_as_one_process_does(
    tmp_path: Path, clips: dict[int | None, Path], pool: LocalPool, one_thread: None
) -> None:
    split_in_two(config(clips[None], tmp_path / "here.mkv"), InlineExecutor(threads=pool.threads))
    summary = split_in_two(config(clips[None], tmp_path / "there.mkv"), pool)
    assert (summary.frames, summary.engine, summary.device) == (60, "eager", "cpu")
    assert streams_of(tmp_path / "here.mkv") == streams_of(tmp_path / "there.mkv")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows sends Ctrl-C in another way")
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads blocked signals from /proc")
def test_workers_block_ctrl_c_from_their_start_on(pool: LocalPool) -> None:
    """Otherwise each prints a traceback from the middle of its imports."""
    while len(multiprocessing.active_children()) < pool.workers:
        time.sleep(0.01)
    for worker in multiprocessing.active_children():
        blocked = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{worker.pid}/status").read_text())
        assert blocked
        assert int(blocked[1], 16) >> (signal.SIGINT - 1) & 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


class UnpicklableError(Exception):
    def __init__(self, what: str, *, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Failing:
    """The configuration of a clip, whose use fails."""

    def __init__(self, *, is_known: bool) -> None:
        self.is_known = is_known

    @property
    def stylize(self) -> StylizeConfig:
        if not self.is_known:
            raise UnpicklableError("what", why="why")
        error = OutputError("a.mp4", "is full")
        error.add_note("a note")
        raise error


def failing_job(*, is_known: bool) -> SegmentJob:
    return SegmentJob(cast(VideoConfig, Failing(is_known=is_known)), {})


def test_an_error_keeps_its_type_its_notes_and_its_traceback(tmp_path: Path, pool: LocalPool) -> None:
    error = pool.submit(job(tmp_path / "no.mkv", tmp_path / "out.mkv")).exception(60)
    assert isinstance(error, InputError)
    assert error.path == str(tmp_path / "no.mkv")
    assert "in run_segment_job" in str(error.__cause__)
    error = pool.submit(failing_job(is_known=True)).exception(60)
    assert isinstance(error, OutputError)
    assert (str(error), error.path, error.__notes__) == ("a.mp4: is full", "a.mp4", ["a note"])


def test_jobs_and_errors_that_cannot_be_pickled_fail_alone(tmp_path: Path, pool: LocalPool) -> None:
    error = pool.submit(failing_job(is_known=False)).exception(60)
    assert isinstance(error, RuntimeError)
    assert str(error) == "UnpicklableError: what: why"
    assert "in stylize" in str(error.__cause__)
    error = pool.submit(
        SegmentJob(config(tmp_path / "in.mkv", tmp_path / "out.mkv"), {"lock": threading.Lock()})
    ).exception(60)
    assert isinstance(error, TypeError)
    assert "pickle" in str(error)
    assert isinstance(pool.submit(job(tmp_path / "no.mkv", tmp_path / "out.mkv")).exception(60), InputError)


def kill_workers(folder: Path) -> None:
    """Kill all workers as soon as one has stylized a frame in the work folder ``folder``."""
    while not (folder / PROGRESS).exists():
        time.sleep(0.01)
    for child in multiprocessing.active_children():
        if child.name.startswith("flowbrush worker") and child.pid is not None:
            os.kill(child.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    (folder / PROGRESS).unlink(missing_ok=True)


def test_a_job_survives_the_death_of_one_worker(tmp_path: Path, clips: dict[int | None, Path], pool: LocalPool) -> None:
    target = tmp_path / "out.mkv"
    future = pool.submit(job(clips[None], target))
    kill_workers(Path(job_dir_path(str(target), 0)))
    assert "died (SIGKILL)" in future.result(60).notices[-1]
    assert sum(len(segment.pts) for segment in future.result().segments) == 60

    future = pool.submit(job(clips[None], tmp_path / "other.mkv"))
    for _ in range(2):
        kill_workers(Path(job_dir_path(str(tmp_path / "other.mkv"), 0)))
    error = future.exception(60)
    assert isinstance(error, DeviceError)
    assert str(error).startswith(f"{clips[None]}: ")
    assert "(SIGKILL, SIGKILL)" in str(error)
    assert "memory" in str(error)


def test_a_pool_that_is_cancelled_and_closed_kills_its_workers(tmp_path: Path, clips: dict[int | None, Path]) -> None:
    threads, children = set(threading.enumerate()), set(multiprocessing.active_children())
    pool = LocalPool(1, "cpu")
    stylized, waiting, left = (pool.submit(job(clips[None], tmp_path / f"{n}.mkv")) for n in range(3))
    folder = job_dir_path(str(tmp_path / "0.mkv"), 0)
    while not os.path.exists(os.path.join(folder, PROGRESS)):
        time.sleep(0.01)
    with pytest.raises(OutputError, match="another run"):
        WorkDir("0.mkv", folder)
    pool.cancel([stylized, left])
    assert isinstance(stylized.exception(), DeviceError)
    assert left.cancelled()
    WorkDir("0.mkv", folder).close(is_kept=False)
    for _ in range(2):
        pool.close()
    assert waiting.done()
    assert isinstance(pool.submit(job(clips[None], tmp_path / "3.mkv")).exception(0), DeviceError)
    assert set(threading.enumerate()) <= threads
    assert set(multiprocessing.active_children()) <= children


UNGUARDED = """
import sys
from pathlib import Path
with Path(sys.argv[1]).open("a") as file:
    file.write("started\\n")
from pipeline.workers.executors import start_executor
from pipeline.workers.local_pool import LocalPool, default_workers
pool = LocalPool(1, "cpu")
for _ in range(2):
    print(repr(pool.submit(None).exception()))
pool.close()
"""


def test_a_script_without_a_guard_starts_no_process_after_process(tmp_path: Path) -> None:
    script, starts = tmp_path / "script.py", tmp_path / "starts"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, str(script), str(starts)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.count("DeviceError") == done.stdout.count("__main__") == 2, done.stderr
    assert len(starts.read_text().splitlines()) == 2


def test_a_process_that_cannot_be_started_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", refuse)
    pool = LocalPool(1, "cpu")
    error = pool.submit(job(tmp_path / "in.mkv", tmp_path / "out.mkv")).exception(10)
    assert isinstance(error, DeviceError)
    assert "--workers" in str(error)
    pool.close()


# --- the command ---


def workers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    """Return the ids of the processes that it started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid:
            found.append(int(folder.name))
    return found


def wait_for_end(pids: list[int]) -> None:
    while [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        time.sleep(0.02)


def first_progress(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["frames"] > 0:
            return


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are found in /proc")
def test_workers_end_with_their_parent_and_the_batch_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        make_clip(tmp_path / "in" / f"{name}.mkv", Noisy(pts=range(0, 300 * 512, 512)))
    where = [tmp_path / "in", "--output", tmp_path / "out", "--workers", "2"]
    process = subprocess.Popen(command(*where), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first_progress(process)
    workers = workers_of(process)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_for_end(workers)
    parts = list((tmp_path / "out").glob("*/job0000.flowbrush/manifest.jsonl"))
    assert all(parts_of(path.read_text())["complete_frames"] is None for path in parts)

    process = subprocess.Popen(command(*where), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first_progress(process)
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command to resume" in err
    assert b"Traceback" not in err
    wait_for_end(workers)

    code, events = run(*where)
    assert code == 0
    assert len(names_of(events, "finished")) + len(names_of(events, "skipped")) == 2
    for path in outputs_in(tmp_path / "out").values():
        assert sorted(packet[1] or 0 for packet in streams_of(path)) == [round(n * 1000 / 30) for n in range(300)]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have two GPUs of 10 GB, and start no processes that would look for them."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("pipeline.stylize.device.find_device", torch.device)
    monkeypatch.setattr("pipeline.stylize.engine.memory_budget._gpu_bytes", lambda device: 10 * 10**9)
    monkeypatch.setattr(Worker, "start", lambda worker: None)


def test_each_gpu_has_a_worker(two_gpus: None) -> None:
    assert [default_workers(device) for device in ("auto", "cuda", "cuda:1", "cpu")] == [2, 2, 1, 1]
    executor = start_executor(device="auto")
    assert isinstance(executor, LocalPool)
    assert (executor.workers, executor.sharers) == (2, 1)
    assert start_executor(device="cuda:1") is None, "this process uses it alone"
    executor.close()


def test_workers_take_turns_among_gpus_and_share_their_memory(tmp_path: Path, two_gpus: None) -> None:
    pool = LocalPool(3, "cuda")
    assert (pool.sharers, pool.threads) == (2, max(usable_cores() // 3, 1))
    stylize = StylizeConfig(style="great-wave", device="cuda")
    clip = VideoConfig(
        source="a.mp4", target=str(tmp_path / "b.mp4"), stylize=stylize, decode=DecodeConfig(hwaccel="cuda")
    )
    limited = [worker._share.limit(SegmentJob(clip, {}, sharers=pool.sharers)).config for worker in pool._workers]
    assert [config.stylize.device for config in limited] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [config.decode.hwaccel for config in limited] == ["cuda:0", "cuda:1", "cuda:0"]
    assert {config.stylize.max_memory for config in limited} == {3_500_000_000}
    pool.close()


def test_a_clip_that_names_its_gpu_keeps_it(tmp_path: Path, two_gpus: None) -> None:
    stylize = StylizeConfig(style="great-wave", device="cuda:1", max_memory=10**9)
    job = SegmentJob(VideoConfig(source="a.mp4", target=str(tmp_path / "b.mp4"), stylize=stylize), {})
    assert Share("cuda:0", 1).limit(job).config.stylize == stylize
