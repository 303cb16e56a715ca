"""Batches on a real Ray: as locally, with workers killed, machines that join late, and a driver that is killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pipeline.system.urls import Store
from tests.support.batching import ROOT, batch_config, command, make_clips, outputs_in, report_of, run_here, streams_of
from tests.support.media import Audio, make_clip
from tests.support.workers.ray_cluster import Cluster
from tests.support.workers.segment_jobs import Noisy, difference
from tests.support.workers.stores import HAS_S3, put, s3_server

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")

EXACT = ("--precision", "fp32")


@pytest.mark.slow
def test_a_batch_on_ray_is_as_one_here(tmp_path: Path, one_thread: None) -> None:
    """Also: the working folder, which may be somebody else's, is not imported from."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        make_clips(folder, "a.mp4", "b.mkv")
    run_here(batch_config(here))
    code = (there / "in" / "numpy.py", there / "in" / "models.py")
    for path in code:
        path.write_text("raise SystemExit('imported from the working folder')")
    done = subprocess.run(
        [*command("--output", there / "out", "--cluster", "auto", *EXACT, "--workers", "2"), "a.mp4", "b.mkv"],
        capture_output=True,
        text=True,
        cwd=there / "in",
    )
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["event"] for line in done.stdout.splitlines()} >= {"planned", "finished", "ended"}
    for name in outputs_in(here / "out"):
        assert difference(here / "out" / name, there / "out" / name) == [0] * 6
    assert set(os.listdir(there / "out")) == set(os.listdir(here / "out"))


@pytest.mark.prove
@pytest.mark.skipif(not HAS_S3, reason="s3fs or moto is not installed")
def test_a_batch_on_ray_from_a_store_into_it(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers find the store by the variables of this process."""
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    clips = make_clips(tmp_path, "a.mp4", "b.mkv")
    run_here(batch_config(tmp_path))
    with s3_server(monkeypatch) as url:
        for name in ("a.mp4", "b.mkv"):
            put(f"{url}/in/{name}", clips / name)
        arguments = command(f"{url}/in", "--output", f"{url}/out", "--cluster", "auto", *EXACT, "--workers", "2")
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        for name, path in outputs_in(tmp_path / "out").items():
            Store(f"{url}/out/{name}").download("", str(tmp_path / f"downloaded-{name}"))
            assert difference(path, tmp_path / f"downloaded-{name}") == [0] * 6
        assert not [name for name, _ in Store(f"{url}/out").find() if ".flowbrush/" in name]


ALONE = """
import os, socket, subprocess, sys
from pipeline.workers.cluster.machines import connect
ray, leaves = connect("auto")
address = ray.get_runtime_context().gcs_address
code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
strange = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
done = subprocess.run([sys.executable, "-c", code], env=strange, capture_output=True, timeout=100)
print("a stranger:", done.returncode)
print("usage:", os.environ["RAY_USAGE_STATS_ENABLED"])
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_a_cluster_of_this_process_is_for_it_alone(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    arguments = [sys.executable, "-c", ALONE]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "a stranger: 1" in done.stdout, done.stderr
    assert "usage: 0" in done.stdout
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not processes_in(tmp_path))


def processes_in(home: Path) -> list[str]:
    """Return the names of the processes that were started with this home folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "comm").read_text())
        except OSError:
            continue
    return found


# --- machines and drivers that come and go ---

LONG, SHORT = 1600, 200


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A clip for two segment jobs, and a short one."""
    (tmp_path / "in").mkdir()
    for name, frames in {"long": LONG, "short": SHORT}.items():
        audio = [Audio(seconds=Fraction(frames, 30))]
        make_clip(tmp_path / "in" / f"{name}.mkv", Noisy(pts=range(0, frames * 512, 512), audio=audio))
    return tmp_path / "in"


class Driver:
    """A batch in a process, whose events are read one by one."""

    def __init__(self, clips: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        where = (clips, "--output", clips.parent / "out", "--codec", "ffv1", *EXACT, *arguments)
        self._errors = clips.parent / "errors.txt"
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(command(*where), env=environment, stdout=subprocess.PIPE, stderr=errors)
        assert self.process.stdout is not None
        self._lines = iter(self.process.stdout)

    def events(self) -> Iterator[dict[str, Any]]:
        yield from map(json.loads, self._lines)

    def wait_for(self, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
        assert any(map(is_wanted, self.events())), f"the batch ended before: {self._errors.read_text()}"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def has_stylized(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "progress" and 0 < event["frames"] < event["total"])


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.prove
@pytest.mark.timeout(3000)
def test_nothing_is_lost_or_doubled_whoever_is_killed(tmp_path: Path, clips: Path, one_thread: None) -> None:
    """A worker killed in the middle of a segment, a machine that joins late, a driver killed, local workers, Ray."""
    with Cluster() as cluster:
        ray = ("--cluster", cluster.address)
        driver = Driver(clips, *ray, "--workers", "2", environment=cluster.environment)
        driver.wait_for(has_stylized)
        (first,) = cluster.workers()
        os.kill(first, signal.SIGKILL)
        cluster.add_machine()
        wait_until(lambda: len(cluster.workers()) == 2 and first not in cluster.workers())
        driver.wait_for(has_stylized)
        driver.kill()
        wait_until(lambda: not cluster.workers())

        local = Driver(clips, "--workers", "2")
        local.wait_for(has_stylized)
        local.kill()

        last = Driver(clips, *ray, environment=cluster.environment)
        last.wait_for(has_stylized)
        wait_until(cluster.busy_workers)
        os.kill(cluster.busy_workers()[0], signal.SIGKILL)
        lines = [event.get("line", "") for event in last.events()]
        last.process.communicate(timeout=60)
        assert last.process.returncode == 0, (tmp_path / "errors.txt").read_text()
    assert any("died; another one resumed its work" in line for line in lines)
    report = report_of(tmp_path)
    assert [clip["status"] for clip in report["clips"]] == ["painted"] * 2
    whole = replace(batch_config(tmp_path, options={"codec": "ffv1"}), output=tmp_path / "whole")
    assert run_here(whole)[0].painted == 2
    worst = 0
    for name, path in outputs_in(tmp_path / "whole").items():
        levels = difference(path, tmp_path / "out" / name)  # also compares the times of all frames
        assert len(levels) == (LONG if name.startswith("long") else SHORT)
        worst = max(worst, *levels)
        audio = [[packet for packet in streams_of(each) if packet[0] == 1] for each in (path, tmp_path / "out" / name)]
        assert audio[0] == audio[1]
    print("largest difference of a pixel:", worst)
    assert worst < 4
    assert not list((tmp_path / "out").glob("*.flowbrush"))
