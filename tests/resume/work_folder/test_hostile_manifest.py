"""Partial output that somebody else wrote, or that the disk has damaged, is refused and never followed."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import VideoConfig
from pipeline.errors import EncodeError
from pipeline.resume.work_folder.manifest import NAME, ManifestError, read_manifest
from pipeline.resume.work_folder.work_dir import WorkDir
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import (
    UNSTYLIZED,
    at_frame,
    edit_manifest,
    finish_later,
    interrupt_at,
    lines_of,
    parts_of,
)
from tests.support.interrupted.resuming import config as config_of
from tests.support.media import Clip, contents, make_clip

Edit = Callable[[dict[str, Any]], object]
NEEDS_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


def config(source: Path, target: Path) -> VideoConfig:
    return config_of(source, target, stylize=UNSTYLIZED)


@pytest.fixture(scope="module")
def partial(clip: Path) -> Path:
    interrupt_at(20, clip, clip.with_name("partial.mp4"), stylize=UNSTYLIZED)
    return clip.with_name("partial.mp4")


@pytest.fixture
def out(tmp_path: Path, partial: Path) -> Path:
    """An output whose first 16 of 40 frames are finished, in segments of 8."""
    shutil.copytree(folder_of(partial), tmp_path / "out.mp4.flowbrush")
    return tmp_path / "out.mp4"


@pytest.fixture(scope="module")
def stylized(clip: Path) -> Path:
    finish_later(clip, clip.with_name("stylized.mp4"), stylize=UNSTYLIZED)
    return clip.with_name("stylized.mp4")


@pytest.fixture
def complete(tmp_path: Path, stylized: Path) -> Path:
    """An output whose frames are finished, but not joined."""
    shutil.copytree(folder_of(stylized), tmp_path / "out.mp4.flowbrush")
    return tmp_path / "out.mp4"


@pytest.fixture(scope="module")
def animation(clip: Path) -> Path:
    """The same of an animation."""
    finish_later(clip, clip.with_name("out.gif"), stylize=UNSTYLIZED)
    return clip.with_name("out.gif")


@pytest.fixture(scope="module")
def whole(clip: Path) -> bytes:
    target = clip.with_name("whole.mp4")
    stylize_video(config(clip, target))
    return target.read_bytes()


def folder_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.flowbrush")


def resume(clip: Path, target: Path) -> tuple[int, list[str]]:
    """Return how many frames were reused, and the notices."""
    lines: list[str] = []
    return stylize_video(config(clip, target), notify=lines.append).frames_reused, lines


def set_in(name: str, value: object) -> Edit:
    return lambda data: data["segments"][0].update({name: value})


def refer_to(path: Path) -> Edit:
    """Return an edit that names another file as the first segment."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return lambda data: data["segments"][0].update(file=str(path), bytes=path.stat().st_size, sha256=digest)


# --- the manifest ---


@pytest.mark.parametrize("is_relative", [True, False])
def test_a_segment_outside_the_folder_does_not_become_the_output(
    tmp_path: Path, clip: Path, complete: Path, whole: bytes, is_relative: bool
) -> None:
    secret = make_clip(tmp_path / "secret.mp4", Clip(pts=range(0, 8 * 512, 512), width=80))
    named = Path("..", "secret.mp4") if is_relative else secret
    edit_manifest(complete, refer_to(secret))
    edit_manifest(complete, set_in("file", str(named)))
    reused, lines = resume(clip, complete)
    assert reused == 0
    assert any("name that is not ours" in line and "from scratch" in line for line in lines)
    assert complete.read_bytes() == whole
    assert secret.exists()


@pytest.mark.parametrize("name", ["steps", "durations"])
def test_a_huge_count_takes_no_memory(clip: Path, out: Path, name: str) -> None:
    edit_manifest(out, lambda data: data["segments"][0].update({"frames": 10**12, name: [[512, 10**12]]}))
    reused, lines = resume(clip, out)
    assert reused == 0
    assert any("out of range" in line for line in lines)


@NEEDS_PIPES
@pytest.mark.parametrize("pattern", ["manifest.jsonl", "00000000.mp4", "*.safetensors"])
@pytest.mark.timeout(60)
def test_a_pipe_in_the_folder_does_not_block(clip: Path, out: Path, whole: bytes, pattern: str) -> None:
    for path in folder_of(out).glob(pattern):
        path.unlink()
        os.mkfifo(path)
    assert resume(clip, out)[0] == 0
    assert out.read_bytes() == whole


@pytest.mark.parametrize("pattern", ["manifest.jsonl", "00000000.mp4", "*.safetensors"])
def test_a_link_in_the_folder_is_not_followed(
    tmp_path: Path, clip: Path, out: Path, whole: bytes, pattern: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    kept = {}
    for path in folder_of(out).glob(pattern):
        there = tmp_path / "elsewhere" / path.name
        path.rename(there)
        path.symlink_to(there)
        kept[there] = there.read_bytes()
    assert resume(clip, out)[0] == 0
    assert out.read_bytes() == whole
    assert {there: there.read_bytes() for there in kept} == kept


def test_a_linked_folder_of_a_segment_job_is_not_followed(tmp_path: Path, clip: Path, complete: Path) -> None:
    there = tmp_path / "elsewhere"
    there.mkdir()
    shutil.copy(folder_of(complete) / "00000000.mp4", there)
    (folder_of(complete) / "job0000.flowbrush").symlink_to(there)
    edit_manifest(complete, set_in("file", "job0000.flowbrush/00000000.mp4"))
    assert resume(clip, complete)[0] == 0


def test_a_large_manifest_is_not_read(clip: Path, out: Path) -> None:
    os.truncate(folder_of(out) / "manifest.jsonl", 2**40)
    assert resume(clip, out)[0] == 0


WRONG: dict[str, Edit] = {
    "no name": set_in("file", None),
    "name of the manifest": set_in("file", "manifest.jsonl"),
    "name of a folder above": set_in("file", "../00000000.mp4"),
    "name with a protocol": set_in("file", "concat:00000000.mp4"),
    "name of a script": set_in("file", "00000000.mp4\n"),
    "the same name twice": set_in("file", "00000008.mp4"),
    "negative size": set_in("bytes", -1),
    "true size": set_in("bytes", True),
    "size with a fraction": set_in("bytes", 0.5),
    "no frames": set_in("frames", 0),
    "negative count": set_in("steps", [[512, -1], [512, 8]]),
    "times beyond 64 bits": set_in("pts", [10**30, 10**30]),
    "a time of text": set_in("pts", ["0", "1"]),
    "delay of a year": set_in("delay", 10**9),
    "no hash": set_in("sha256", ["a"]),
    "a hash with a path": set_in("digest", "../../x"),
    "segments as text": lambda data: data.update(segments="00000000.mp4"),
    "segments of segments": lambda data: data.update(segments=[[]]),
    "division by zero": lambda data: data.update(time_base="1/0"),
    "a time base that takes forever": lambda data: data.update(time_base="1e9999999"),
    "negative time base": lambda data: data.update(time_base="-1/30"),
    "no duration": lambda data: data.update(seconds=math.nan),
    "endless duration": lambda data: data.update(seconds=math.inf),
    "settings as list": lambda data: data["identity"].update(settings=[]),
    "no identity": lambda data: data.update(identity=3),
    "complete with too few frames": lambda data: data.update(complete_frames=40),
    "complete, if that is a word": lambda data: data.update(complete_frames=True),
    "no engine": lambda data: data.update(engine={}),
    "an engine of lists": lambda data: data["engine"].update(device=["cpu"]),
    "code of an engine that moves the cursor": lambda data: data["engine"].update(code="\x1b[2J"),
    "code of an engine without end": lambda data: data["engine"].update(code="C++ " * 1000),
    "code of an engine that is a list": lambda data: data["engine"].update(code=["C++"]),
    "a change at no frame": lambda data: data.update(changes=[{"frame": -1, "engine": data["engine"]}]),
    "changes in no order": lambda data: data.update(changes=[{"frame": 8, "engine": data["engine"]}] * 2),
    "a change to nothing": lambda data: data.update(changes=[{"frame": 8, "engine": {}}]),
    "damage without a place": lambda data: data.update(damage=[{}]),
    "damage at infinity": lambda data: data.update(
        damage=[{"stream": "video", "packet": 1, "seconds": math.inf, "reason": "x"}]
    ),
    "a split among nobody": lambda data: data.update(split={"threads": 1, "sharers": 0, "starts": [], "extended": []}),
    "a split into text": lambda data: data.update(split={"threads": 1, "sharers": 1, "starts": "ab", "extended": []}),
    "a million threads": lambda data: data.update(split={"threads": 10**6, "sharers": 1, "starts": [], "extended": []}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_one_error(tmp_path: Path, partial: Path, name: str) -> None:
    data = parts_of((folder_of(partial) / NAME).read_text())
    (tmp_path / NAME).write_text(lines_of(data))
    assert read_manifest(str(tmp_path)) is not None
    WRONG[name](data)
    (tmp_path / NAME).write_text(lines_of(data))
    with pytest.raises(ManifestError):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]\n",
        "null\n",
        "3\n",
        '{"format": 5}\n',
        '{"format": 5}',
        "[" * 100_000 + "\n",
        "\xff\n",
        "\0\n",
        '{"format": 1e999}\n',
    ],
)
def test_what_is_no_manifest_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestError):
        read_manifest(str(tmp_path))


def test_an_unknown_engine_is_an_error_of_one_line(clip: Path, out: Path) -> None:
    edit_manifest(out, lambda data: data["engine"].update(engine="--help"))
    with pytest.raises(Exception, match="--fresh") as caught:
        resume(clip, out)
    assert "\n" not in str(caught.value)


# --- damaged by the disk ---


def zero(path: Path) -> None:
    """Set 600 bytes in the middle of a file to zero."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 300 : middle + 300] = bytes(600)
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "reused"), [("00000000.mp4", 0), ("00000008.mp4", 8)])
def test_changed_bytes_of_a_segment_are_noticed(clip: Path, out: Path, whole: bytes, name: str, reused: int) -> None:
    zero(folder_of(out) / name)
    found, lines = resume(clip, out)
    assert found == reused
    assert any("missing or damaged" in line for line in lines)
    assert out.read_bytes() == whole


def test_changed_bytes_of_a_state_are_noticed(tmp_path: Path) -> None:
    folder = WorkDir(str(tmp_path / "out.mp4"))
    state = {"statistics": np.arange(1000, dtype=np.float32)}
    digest = folder.write_state(8, state)
    found = folder.read_state(8, digest)
    assert found is not None
    assert np.array_equal(found["statistics"], state["statistics"])
    zero(folder_of(tmp_path / "out.mp4") / "00000008.safetensors")
    assert folder.read_state(8, digest) is None
    folder.close(is_kept=False)


def test_a_segment_that_is_damaged_during_the_run_is_stylized_again(tmp_path: Path, clip: Path, whole: bytes) -> None:
    target = tmp_path / "out.mp4"
    damage = at_frame(40, lambda: zero(folder_of(target) / "00000024.mp4"))
    with pytest.raises(EncodeError, match=r"00000024\.mp4 is missing or damaged.*same command stylizes it again"):
        stylize_video(config(clip, target), progress=damage)
    assert not target.exists()
    assert resume(clip, target)[0] == 0
    assert target.read_bytes() == whole


@pytest.mark.parametrize(("width", "frames"), [(80, 8), (64, 7), (64, 9)])
def test_other_frames_in_a_segment_of_an_animation_are_an_error(
    clip: Path, animation: Path, width: int, frames: int
) -> None:
    target = animation
    segment = folder_of(target) / "00000000.mkv"
    make_clip(segment, Clip(pts=range(frames), width=width, codec="ffv1", options={}, pixel_format="bgr0"))
    edit_manifest(target, refer_to(segment))
    edit_manifest(target, set_in("file", "00000000.mkv"))
    with pytest.raises(EncodeError, match=r"00000000\.mkv contains .*--fresh"):
        resume(clip, target)


def test_what_is_resumed_has_the_same_times(clip: Path, out: Path, whole: bytes) -> None:
    assert resume(clip, out)[0] == 16
    assert out.read_bytes() == whole
    assert len(contents(out).times) == 40
