"""Batches that are killed or interrupted, and run again."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pipeline.batch.events import Event, Progressed
from pipeline.resume.work_folder.work_dir import clear_remains
from tests.support.batching import (
    batch_config,
    break_some,
    command,
    make_folder,
    names_of,
    outputs_in,
    run,
    run_here,
    run_until,
    streams_of,
)
from tests.support.media import Clip, make_clip


def check_kills(folder: Path, *, count: int, kills: list[int]) -> None:
    """Check that a batch gives the same when it is killed after each number of finished clips in ``kills``."""
    clips = make_folder(folder / "in", count)
    broken = break_some(folder / "in", clips[0])
    code, undisturbed = run(folder / "in", "--output", folder / "alone")
    assert code == 1
    assert len(names_of(undisturbed, "finished")) == count

    finished: list[str] = []
    seen: dict[str, tuple[int, int]] = {}
    for number in kills:
        finished += names_of(run_until(number, folder / "in", "--output", folder / "out"), "finished")
        for name, path in outputs_in(folder / "out").items():
            seen.setdefault(name, (path.stat().st_ino, path.stat().st_mtime_ns))
    code, events = run(folder / "in", "--output", folder / "out")
    finished += names_of(events, "finished")
    assert code == 1
    assert len(finished) == len(set(finished)), "a clip was stylized twice"
    assert {*names_of(events, "skipped"), *finished} == set(outputs_in(folder / "alone"))
    assert len(seen) >= sum(kills) - len(kills)
    for name, path in outputs_in(folder / "out").items():
        if name in seen:
            assert seen[name] == (path.stat().st_ino, path.stat().st_mtime_ns), f"{name} was written again"
        assert streams_of(path) == streams_of(folder / "alone" / name), name
    assert set(outputs_in(folder / "out")) == set(outputs_in(folder / "alone"))
    assert not list((folder / "out").rglob("*.flowbrush"))

    report = json.loads((folder / "out" / "report.json").read_text())
    assert (report["painted"] + report["done_before"], report["failed"], report["left"]) == (count, len(broken), 0)
    assert {Path(row["source"]) for row in report["clips"] if row["status"] == "failed"} == set(broken)
    assert all(row["attempts"] == 2 and row["error"] for row in report["clips"] if row["status"] == "failed")
    page = (folder / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * count


def test_after_a_kill_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    check_kills(tmp_path, count=6, kills=[2])


@pytest.mark.parametrize("left", [(), ("lock",), ("manifest.jsonl", "lock")])
def test_the_remains_of_a_run_killed_at_its_very_end_are_removed(tmp_path: Path, left: tuple[str, ...]) -> None:
    """A partial output with other settings stays: it may still be needed."""
    remains = tmp_path / "out.mp4.flowbrush"
    remains.mkdir()
    for name in left:
        (remains / name).touch()
    clear_remains(str(tmp_path / "out.mp4"))
    assert remains.exists() == ("manifest.jsonl" in left)


def test_the_remains_of_a_skipped_clip_are_removed(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", 1)
    run(tmp_path / "in", "--output", tmp_path / "out")
    remains = tmp_path / "out" / "sub" / "clip00_great-wave.mp4.flowbrush"
    remains.mkdir()
    code, events = run(tmp_path / "in", "--output", tmp_path / "out")
    assert (code, len(names_of(events, "skipped"))) == (0, 1)
    assert not remains.exists()


@pytest.mark.prove
def test_forty_clips_killed_twice(tmp_path: Path) -> None:
    check_kills(tmp_path, count=37, kills=[9, 11])


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_soon_and_names_the_command_that_resumes(tmp_path: Path, number: int) -> None:
    make_folder(tmp_path / "in", 4, long_every=1)
    process = subprocess.Popen(
        command(tmp_path / "in", "--output", tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    last = err.decode().strip().splitlines()[-1]
    assert last.startswith("interrupted; ")
    assert "run the same command to resume" in last
    assert "Traceback" not in err.decode()
    assert json.loads(out.splitlines()[-1])["event"] == "ended"
    assert json.loads((tmp_path / "out" / "report.json").read_text())["left"] > 0


def test_an_interruption_stops_every_stage_of_every_clip(tmp_path: Path) -> None:
    """One clip is stylized, one waits for the stylizer, one is being opened; no thread is left, see conftest.py."""
    make_folder(tmp_path / "in", 4, long_every=1)
    stylized: list[str] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, Progressed):
            stylized.append(event.output)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_here(batch_config(tmp_path), interrupt)
    assert "run the same command to resume" in str(caught.value.__notes__)
    assert stylized[0] not in outputs_in(tmp_path / "out")


@pytest.mark.prove
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory of a process")
def test_memory_stays_flat_over_a_thousand_clips(tmp_path: Path) -> None:
    """Compare the resident memory around the hundredth clip with that of the last hundred."""
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=(0, 512, 1024), width=32, height=32))
    for number in range(1000):
        place = tmp_path / "in" / f"{number // 100}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, place / f"{number:04}.mp4")
    resident = []
    asked = command(tmp_path / "in", "--output", tmp_path / "out")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "finished":
                resident.append(_resident_bytes(process.pid))
    assert process.returncode == 0
    assert len(resident) == 1000
    early, late = max(resident[50:150]), max(resident[-100:])
    print(f"{early / 2**20:.0f} MB, {late / 2**20:.0f} MB")
    assert late < early * 1.03 + 4 * 2**20, f"{early / 2**20:.0f} MB grew to {late / 2**20:.0f} MB"


def _resident_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
