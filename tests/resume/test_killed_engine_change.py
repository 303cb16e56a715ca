"""A render whose engine really changes, killed before, during and after that: as if it had never been killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.engines.capabilities import can_compile
from pipeline.resume.work_folder.manifest import Manifest, is_intact, read_manifest, work_dir_path
from pipeline.system.folders import remove_private
from tests.support.interrupted.changing import COMPILED, STARTED
from tests.support.interrupted.resuming import ROOT
from tests.support.media import Clip, contents, make_clip
from tests.support.networks.compiling import shared_precompiled_headers

FRAMES = 240

pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler"),
]


class Render:
    """A render by `tests.support.interrupted.changing` with a cache of its own, empty at the start."""

    def __init__(self, folder: Path, style: Path) -> None:
        self.source = make_clip(folder / "in.mp4", Clip(pts=range(0, 512 * FRAMES, 512), width=64, height=48))
        self.target, self.cache, self._style = folder / "out.mp4", folder / "cache", style

    def start(self, target: Path, *options: str) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "tests.support.interrupted.changing",
            self.source,
            target,
            self._style,
            *options,
        ]
        environment = dict(os.environ, FLOWBRUSH_CACHE=str(self.cache))
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)

    def kill(self, line: str, seconds: float, *options: str, is_changed: bool = False) -> Manifest:
        """Kill a run some time after it has printed a line, and its first segment, and the change if ``is_changed``.

        Returns:
            The manifest. It has all that it had before the run, and the segments are as they were finished.
        """
        before = self.manifest() or Manifest({})
        process = self.start(self.target, *options)
        assert process.stdout is not None
        said = []
        while said[-1:] != [f"{line}\n"]:
            said.append(process.stdout.readline())
            assert said[-1], said
        while (found := self.manifest()) is None or (is_changed and not found.changes):
            assert process.poll() is None, "it has ended before that"
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        return self.check_kept(before)

    def finish(self, target: Path, *options: str) -> list[str]:
        """Return the lines of a run that nobody kills."""
        process = self.start(target, *options)
        lines = process.communicate()[0].splitlines()
        assert process.returncode == 0, lines
        return lines

    def manifest(self) -> Manifest | None:
        return read_manifest(work_dir_path(str(self.target)))

    def check_kept(self, before: Manifest) -> Manifest:
        """Return the manifest: it has all that ``before`` has, and its segments are as they were finished."""
        now = self.manifest()
        assert now is not None
        assert now.segments[: len(before.segments)] == before.segments
        assert now.changes[: len(before.changes)] == before.changes
        assert [frame for segment in now.segments for frame in segment.pts] == list(range(0, 512 * now.frames, 512))
        assert all(is_intact(work_dir_path(str(self.target)), segment) for segment in now.segments)
        return now


@pytest.mark.parametrize("seed", range(3))
def test_killed_before_during_and_after_the_change_nothing_is_lost(
    tmp_path: Path, tiny_style: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw, render = random.Random(seed), Render(tmp_path, tiny_style)
    render.cache.mkdir(0o700)
    with shared_precompiled_headers(render.cache):
        before = render.kill(STARTED, draw.uniform(0.3, 1.0), "--hold", str(FRAMES))
        assert (before.engine["engine"], before.changes) == ("eager", [])
        # The change comes within three segments of this line.
        during = render.kill(COMPILED, draw.uniform(0.0, 0.5), "--hold", str(draw.randrange(1, 24)))
        after = render.kill(COMPILED, draw.uniform(0.0, 0.5), is_changed=True)
    (change,) = after.changes
    code = change["engine"]["code"]
    assert code != after.engine["code"]
    assert change["engine"] == after.engine | {"engine": "compile", "code": code}
    if seed == 0:  # the engine that took over is compiled again, and goes on
        for kind in {"aot", "native"} & set(os.listdir(render.cache)):
            remove_private(render.cache / kind)
    assert render.finish(render.target)[-1].split() == [str(FRAMES), str(after.frames), "compile"]
    with capsys.disabled():
        print(f"\nkilled at {[each.frames for each in (before, during, after)]}, changed at {change['frame']}", end="")
    check_frames(render, change["frame"])


def check_frames(render: Render, changed_at: int) -> None:
    """The output is that of a run that nobody killed, in which the engine changed at the same frame."""
    whole = render.target.with_name("whole.mp4")
    assert render.finish(whole, "--change-at", str(changed_at))[-1].split() == [str(FRAMES), "0", "compile"]
    found, expected = contents(render.target), contents(whole)
    assert found.times == expected.times
    assert len(found.times) == FRAMES
    different = [number for number in range(FRAMES) if not _is_same(found, expected, number)]
    assert different == []


def _is_same(found: Any, expected: Any, number: int) -> bool:
    return bool(np.array_equal(found.planes[number], expected.planes[number]))
