"""A run that is killed anywhere is resumed by the same command, with the same frames."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.resume.work_folder.manifest import work_dir_path
from pipeline.run import stylize_video
from tests.support.interrupted.killing import Killer
from tests.support.interrupted.resuming import ROOT, config
from tests.support.media import Clip, make_clip

# Each place is a function and the number of the call that never returns.
KILLED = """
import importlib, os, signal, sys, traceback
import torch
from pathlib import Path
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import config

def dying(function, number):
    calls = 0
    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

source, folder = map(Path, sys.argv[1:3])
for number, place in enumerate(sys.argv[3:]):
    if not (child := os.fork()):
        path, count = place.rsplit("*", 1)
        module, _, names = path.partition(":")
        *owners, name = names.split(".")
        owner = importlib.import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        setattr(owner, name, dying(getattr(owner, name), int(count)))
        try:
            stylize_video(config(source, folder / f"{number}.mp4"))
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

REUSED_FRAMES = {
    "pipeline.resume.segments:SegmentWriter.write*3": 0,
    "pipeline.resume.segments:replace_atomically*2": 8,
    "pipeline.resume.work_folder.work_dir:WorkDir.write_state*2": 8,
    "pipeline.resume.work_folder.manifest:Manifest.write*2": 8,
    "pipeline.system.files.atomic:os.replace*6": 16,
    "pipeline.resume.work_folder.manifest:append*3": 24,
    "pipeline.system.files.writing:write_all*3": 24,
    "pipeline.resume.segments:SegmentWriter.write*38": 32,
    "pipeline.encode.muxer:Muxer.write_video_packet*30": 40,
    "pipeline.encode.muxer:Muxer.finish*1": 40,
    "pipeline.resume.resumable:replace_atomically*1": 40,
    "pipeline.resume.work_folder.work_dir:WorkDir.close*1": 40,
    "pipeline.resume.work_folder.work_dir:remove*4": 16,
    "pipeline.resume.work_folder.work_dir:remove*10": 40,
}


@pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
def test_killed_anywhere_the_same_command_gives_the_same_frames(tmp_path: Path, clip: Path) -> None:
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    whole = (tmp_path / "whole.mp4").read_bytes()
    command = [sys.executable, "-c", KILLED, str(clip), str(tmp_path), *REUSED_FRAMES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=150)
    assert done.stdout.split() == ["-9"] * len(REUSED_FRAMES), done.stderr
    for number, (place, reused) in enumerate(REUSED_FRAMES.items()):
        target = tmp_path / f"{number}.mp4"
        summary = stylize_video(config(clip, target))
        assert (summary.frames, summary.frames_reused) == (40, reused), place
        assert target.read_bytes() == whole, place
        assert not Path(work_dir_path(str(target))).exists(), place


@pytest.mark.slow
def test_killed_at_random_the_same_command_gives_the_same_frames(tmp_path: Path) -> None:
    """The short version of the proof with thirty kills."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 400, 512)))
    options = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "flow"]
    outcome = Killer(source, tmp_path, options).kill(random.Random(0))
    assert (outcome.frames, outcome.different) == (400, 0), outcome
    assert outcome.reused in (120, 240, 360, 400), outcome
