"""Work that survives: segments, what is kept, going on, and the output that is made of them."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import pipeline.atomic
import pipeline.resume.disk_space
import pipeline.resume.fingerprint
import pipeline.resume.resumable
from pipeline.atomic import replace_atomically
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.decode.source import Source
from pipeline.errors import DeviceError, EncodeError, InputError, OutputError
from pipeline.frames import Frame
from pipeline.progress import Progress
from pipeline.resume.lock import Lock
from pipeline.resume.manifest import Manifest, ManifestError, Segment, read_manifest, work_dir_path
from pipeline.resume.segment_reader import decoding_times
from pipeline.resume.segments import SegmentWriter, mark_segments
from pipeline.resume.work_dir import WorkDir, describe_partial_output
from pipeline.run import stylize_video
from pipeline.stylize.bounded_engine import BoundedEngine
from pipeline.summary import Summary
from tests.support.killing import Killer
from tests.support.media import Audio, Clip, Contents, contents, make_clip, moving_square

ROOT = Path(pipeline.resume.resumable.__file__).parents[2]
# Gaps, steps of one tick, and a last frame that stays: 40 frames in 5 segments of 8.
UNEVEN = tuple(int(step) for step in np.cumsum([0, *([512, 512, 1, 700, 300] * 8)][:40]))
PAINTED = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="flow")

# A container that tells no durations.
FLASH = Clip(pts=range(0, 24 * 40, 40), time_base=Fraction(1, 1000), codec="flv", options={"g": "4"})


def config(source: Path, target: Path, **changes: Any) -> VideoConfig:
    return VideoConfig(source=str(source), target=str(target), **({"stylize": PAINTED, "segment_frames": 8} | changes))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "in.mp4", Clip(pts=UNEVEN, audio=[Audio()], last_duration=2000))


@pytest.fixture(scope="module", params=["none", "smooth", "flow"])
def uninterrupted(request: pytest.FixtureRequest, clip: Path) -> tuple[StylizeConfig, bytes]:
    """How it was painted, and the whole output."""
    stylize = replace(PAINTED, stability=request.param)
    target = clip.with_name(f"{request.param}.mp4")
    stylize_video(config(clip, target, stylize=stylize))
    return stylize, target.read_bytes()


def interrupted_at(frame: int) -> Callable[[Progress], None]:
    def progress(state: Progress) -> None:
        if state.frames == frame:
            raise KeyboardInterrupt

    return progress


def stop_at(frame: int, source: Path, target: Path, **changes: Any) -> str:
    """Interrupt a run at its frame number ``frame``; returns what it says of the kept work."""
    with pytest.raises(KeyboardInterrupt) as caught:
        stylize_video(config(source, target, **changes), progress=interrupted_at(frame))
    return "; ".join(getattr(caught.value, "__notes__", []))


# --- going on ---


@pytest.mark.parametrize("frames", [(9,), (30,), (10, 20, 40)])
def test_an_interrupted_render_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, clip: Path, uninterrupted: tuple[StylizeConfig, bytes], frames: tuple[int, ...]
) -> None:
    stylize, whole = uninterrupted
    target = tmp_path / "out.mp4"
    for frame in frames:
        said = stop_at(frame, clip, target, stylize=stylize)
        assert said.endswith(f"are finished in {target}.flowbrush; the same command resumes")
        assert not target.exists()
    seen: list[Progress] = []
    summary = stylize_video(config(clip, target, stylize=stylize), progress=seen.append)
    reused = (frames[-1] - 1) // 8 * 8
    assert (summary.frames, summary.frames_reused) == (40, reused)
    assert [state.frames for state in seen] == list(range(reused + 1, 41))
    assert target.read_bytes() == whole
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_an_interruption_before_the_first_segment_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    assert stop_at(8, clip, tmp_path / "out.mp4") == ""
    assert os.listdir(tmp_path) == []


def test_a_part_and_a_size_go_on(tmp_path: Path, clip: Path) -> None:
    decode = DecodeConfig(start_seconds=Fraction(1, 5), duration_seconds=Fraction(3, 5), height=24)
    stylize_video(config(clip, tmp_path / "whole.mp4", decode=decode))
    stop_at(10, clip, tmp_path / "out.mp4", decode=decode)
    summary = stylize_video(config(clip, tmp_path / "out.mp4", decode=decode))
    assert 0 < summary.frames_reused < summary.frames < 40
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_scene_cuts_and_fades_go_on(tmp_path: Path) -> None:
    """A cut shortly before and shortly behind the joint: statistics of the shot before must not come back."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for number in range(30):
            picture = moving_square(number)
            picture = 255 - picture if 13 <= number < 18 else picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="bgr0")))
        container.mux(stream.encode(None))
    stylize = replace(PAINTED, style_end="starry-night")
    stylize_video(config(source, tmp_path / "whole.mp4", stylize=stylize))
    stop_at(17, source, tmp_path / "out.mp4", stylize=stylize)
    assert stylize_video(config(source, tmp_path / "out.mp4", stylize=stylize)).frames_reused == 16
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("fault", ["lands late", "cannot seek", "another picture"])
def test_where_seeking_misleads_the_input_is_read_from_its_beginning(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    stop_at(20, clip, tmp_path / "out.mp4")
    real, tried = Source.restart, []

    def restart(self: Source, from_seconds: Fraction | None) -> None:
        tried.append(from_seconds)
        misled = None if from_seconds is None or fault == "cannot seek" else from_seconds
        real(self, misled)
        if from_seconds is not None and fault != "cannot seek":
            items = list(self._items)
            late = items[20:] if fault == "lands late" else items[:1] * 16 + items[16:]
            self._items = iter(late)

    monkeypatch.setattr(Source, "restart", restart)
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16
    assert (tried[-1] is None) == (fault != "cannot seek")
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


# --- killed ---

KILLED = """
import importlib, os, signal, sys, traceback
from fractions import Fraction
import torch
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.run import stylize_video

def dying(function, number):
    calls = 0
    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

source, folder = sys.argv[1:3]
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
            config = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="flow")
            stylize_video(VideoConfig(source=source, target=f"{folder}/{number}.mp4", stylize=config, segment_frames=8))
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

PLACES = {
    "pipeline.resume.segments:SegmentWriter.write*3": 0,
    "pipeline.resume.segments:replace_atomically*2": 8,
    "pipeline.resume.work_dir:WorkDir.write_state*2": 8,
    "pipeline.resume.manifest:Manifest.write*2": 8,
    "pipeline.atomic:os.replace*6": 8,
    "pipeline.resume.segments:SegmentWriter.write*38": 32,
    "pipeline.encode.muxer:Muxer.write_video_packet*30": 40,
    "pipeline.encode.muxer:Muxer.finish*1": 40,
    "pipeline.resume.resumable:replace_atomically*1": 40,
    "pipeline.resume.work_dir:WorkDir.close*1": 40,
    "pipeline.resume.work_dir:remove*3": 16,
    "pipeline.resume.work_dir:remove*9": 40,
}


@pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
def test_killed_anywhere_the_same_command_gives_the_same_frames(tmp_path: Path, clip: Path) -> None:
    """Each place is a function and the number of the call that never comes back."""
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    whole = (tmp_path / "whole.mp4").read_bytes()
    command = [sys.executable, "-c", KILLED, str(clip), str(tmp_path), *PLACES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=150)
    assert done.stdout.split() == ["-9"] * len(PLACES), done.stderr
    for number, (place, reused) in enumerate(PLACES.items()):
        target = tmp_path / f"{number}.mp4"
        summary = stylize_video(config(clip, target))
        assert (summary.frames, summary.frames_reused) == (40, reused), place
        assert target.read_bytes() == whole, place
        assert not Path(work_dir_path(str(target))).exists(), place


@pytest.mark.slow
def test_killed_at_random_the_same_command_gives_the_same_frames(tmp_path: Path) -> None:
    """The short version of the proof with thirty kills."""
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 400, 512)))
    plain = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "flow"]
    killer, draw = Killer(source, tmp_path, plain), random.Random(0)
    for _ in range(2):
        outcome = killer.kill(draw)
        assert (outcome.frames, outcome.different) == (400, 0), outcome
        assert outcome.reused in (120, 240, 360, 400), outcome


# --- what a render is not gone on with ---


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stylize": replace(PAINTED, strength=0.5)}, "settings"),
        ({"stylize": replace(PAINTED, style="starry-night")}, "weights"),
        ({"encode": EncodeConfig(quality=30)}, "settings (codec options)"),
        ({"decode": DecodeConfig(height=24)}, "height"),
    ],
)
def test_another_setting_starts_afresh_and_says_so(
    tmp_path: Path, clip: Path, changes: dict[str, Any], named: str
) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    said: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4", **changes), notify=said.append)
    assert (summary.frames, summary.frames_reused) == (40, 0)
    assert [line for line in said if "starting from scratch" in line and named in line]


def test_another_input_starts_afresh_and_says_so(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=UNEVEN))
    stop_at(20, source, tmp_path / "out.mp4")
    make_clip(source, Clip(pts=UNEVEN, options={"crf": "30"}))
    said: list[str] = []
    assert stylize_video(config(source, tmp_path / "out.mp4"), notify=said.append).frames_reused == 0
    assert any("another input: starting from scratch" in line for line in said)


def test_other_weights_under_the_same_name_start_afresh(tmp_path: Path, clip: Path) -> None:
    from models.registry import BUNDLED, load, save

    own = tmp_path / "own.safetensors"
    own.write_bytes(BUNDLED.read_bytes())
    stylize = replace(PAINTED, style=f"{own}#great-wave")
    stop_at(20, clip, tmp_path / "out.mp4", stylize=stylize)
    painter = load("great-wave")
    save(own, painter.network, [painter.style], [painter.metadata], {})
    said: list[str] = []
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize), notify=said.append).frames_reused == 0
    assert any("another weights" in line for line in said)


def leave_eager_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the engine that began was removed: what is named is not to be had."""
    init = BoundedEngine.__init__

    def starts(self: BoundedEngine, style: Any, core: Any, config: StylizeConfig, **frames: Any) -> None:
        if config.engine != "auto":
            raise DeviceError("it was removed")
        init(self, style, core, replace(config, engine="eager"), **frames)

    monkeypatch.setattr(BoundedEngine, "__init__", starts)


def test_the_engine_never_changes_within_a_render(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(20, clip, tmp_path / "out.mp4", stylize=replace(PAINTED, engine="auto", precision="auto"))
    manifest = read_manifest(work_dir_path(str(tmp_path / "out.mp4")))
    assert manifest is not None
    leave_eager_alone(monkeypatch)
    stylize = replace(PAINTED, engine="auto", precision="auto")
    named = f"{manifest.engine['engine']} .* not available .*it was removed.*--fresh"
    with pytest.raises(DeviceError, match=named):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize))
    assert read_manifest(work_dir_path(str(tmp_path / "out.mp4"))) == manifest
    fresh = stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize, fresh=True))
    assert (fresh.frames, fresh.frames_reused, fresh.engine) == (40, 0, "eager")


def test_whole_work_is_joined_on_whatever_machine(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.resume.resumable, "concat", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stylize_video(config(clip, tmp_path / "out.mp4"))
    leave_eager_alone(monkeypatch)
    monkeypatch.setattr(pipeline.resume.fingerprint, "_processor", lambda: "another")
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 40


def interrupt(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_an_interruption_while_the_input_is_looked_at_keeps_the_work(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.resume.resumable, "identify", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stylize_video(config(clip, tmp_path / "out.mp4"))
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16


def test_older_work_is_thrown_away_only_when_the_first_new_frame_is_painted(tmp_path: Path, clip: Path) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    lacking = replace(PAINTED, device="cuda:99")
    with pytest.raises(DeviceError):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=lacking))
    with pytest.raises(DeviceError):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=lacking, fresh=True))
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16


def test_what_a_killed_run_was_writing_makes_room(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    part = tmp_path / "out.mp4.flowbrush" / "output.part"
    part.write_bytes(bytes(100))
    usage = type("Usage", (), {"free": 10**9})
    seen: list[bool] = []

    def look(folder: str) -> Any:
        seen.append(part.exists())
        return usage

    monkeypatch.setattr(pipeline.resume.disk_space.shutil, "disk_usage", look)
    stylize_video(config(clip, tmp_path / "out.mp4"))
    assert seen == [False]


def test_a_finished_output_needs_no_room(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(WorkDir, "close", lambda self, is_kept: self._lock.release())
        stylize_video(config(clip, tmp_path / "out.mp4"))
    monkeypatch.setattr(pipeline.resume.disk_space.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 40


def test_fresh_throws_the_kept_work_away(tmp_path: Path, clip: Path) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    assert stylize_video(config(clip, tmp_path / "out.mp4", fresh=True)).frames_reused == 0
    assert "the same command without --fresh resumes" in stop_at(20, clip, tmp_path / "new.mp4", fresh=True)


@pytest.mark.parametrize(
    ("damage", "reused", "named"),
    [
        ("manifest is no JSON", 0, "manifest"),
        ("manifest lacks times", 0, "manifest"),
        ("first segment", 0, "missing or damaged: starting from scratch"),
        ("last segment", 16, "resuming after frame 16"),
        ("last state", 16, "resuming after frame 16"),
        ("all states", 0, "starting from scratch"),
    ],
)
def test_damaged_work_is_used_as_far_as_it_is_whole(
    tmp_path: Path, clip: Path, damage: str, reused: int, named: str
) -> None:
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    stop_at(27, clip, tmp_path / "out.mp4")
    folder = tmp_path / "out.mp4.flowbrush"
    manifest = folder / "manifest.json"
    if damage == "manifest is no JSON":
        manifest.write_bytes(manifest.read_bytes()[:-40])
    elif damage == "manifest lacks times":
        manifest.write_text(manifest.read_text().replace('"frames": 8', '"frames": 9'))
    elif damage.endswith("segment"):
        segments = sorted(folder.glob("*.mp4"))
        segments[0 if damage.startswith("first") else -1].write_bytes(b"short")
    else:
        for state in sorted(folder.glob("*.safetensors"))[-1 if damage == "last state" else 0 :]:
            state.write_bytes(state.read_bytes()[:-8])
    said: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4"), notify=said.append)
    assert (summary.frames, summary.frames_reused) == (40, reused)
    assert any(named in line for line in said)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_only_the_two_newest_states_are_kept(tmp_path: Path, clip: Path) -> None:
    stop_at(35, clip, tmp_path / "out.mp4")
    folder = tmp_path / "out.mp4.flowbrush"
    assert sorted(path.stem for path in folder.glob("*.safetensors")) == ["00000024", "00000032"]


# --- one at a time ---


def test_a_second_run_on_the_same_output_is_refused(tmp_path: Path, clip: Path) -> None:
    lock = Lock(str(tmp_path / "out.mp4.flowbrush" / "lock"))
    try:
        with pytest.raises(OutputError, match=rf"another run \(process {os.getpid()}\) is writing it"):
            stylize_video(config(clip, tmp_path / "out.mp4"))
    finally:
        lock.release()
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames == 40


def test_two_at_once_leave_one_output(tmp_path: Path, clip: Path) -> None:
    def second(state: Progress) -> None:
        if state.frames == 12:
            with pytest.raises(OutputError, match="another run"):
                stylize_video(config(clip, tmp_path / "out.mp4"))

    assert stylize_video(config(clip, tmp_path / "out.mp4"), progress=second).frames == 40
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_process_that_ends_at_once_removes_nothing_of_another(tmp_path: Path) -> None:
    target, folder = str(tmp_path / "out.mp4"), tmp_path / "out.mp4.flowbrush"
    folder.mkdir()
    (folder / "00000000.mp4.part").touch()
    assert describe_partial_output(target, is_fresh=False) == ""
    assert (folder / "00000000.mp4.part").exists()
    lock = Lock(str(folder / "lock"))
    (folder / "manifest.json").write_text("{}")
    assert describe_partial_output(target, is_fresh=False) == ""
    assert (folder / "manifest.json").exists(), "which another version may read"
    (folder / "manifest.json").unlink()
    assert describe_partial_output(target, is_fresh=False) == ""
    assert not folder.exists()
    lock.release()


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed")
def test_the_lock_is_held_until_its_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, release = WorkDir(str(tmp_path / "out.mp4")), Lock.release
    seen: list[bool] = []

    def watch(self: Lock) -> None:
        seen.append(os.path.exists(folder.file("lock")))
        release(self)

    monkeypatch.setattr(Lock, "release", watch)
    folder.close(is_kept=False)
    assert seen == [False]


def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.part").write_bytes(b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.atomic.os, "open", refuse)
        replace_atomically(str(tmp_path / "a.part"), str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"whole"


# --- what goes wrong on the way ---


def test_a_vanished_input_is_one_line_and_keeps_the_work(tmp_path: Path, clip: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes())

    def vanish(state: Progress) -> None:
        if state.frames == 30:
            source.unlink()

    with pytest.raises(InputError, match="was removed") as caught:
        stylize_video(config(source, tmp_path / "out.mp4"), progress=vanish)
    assert "are finished in" in caught.value.__notes__[0]
    source.write_bytes(clip.read_bytes())
    assert stylize_video(config(source, tmp_path / "out.mp4")).frames_reused == 24


def test_an_input_that_changes_while_it_is_painted_is_an_error(tmp_path: Path, clip: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes())

    def change(state: Progress) -> None:
        if state.frames == 30:
            with open(source, "ab") as file:
                file.write(b"more")

    seen: list[Progress] = []

    def both(state: Progress) -> None:
        seen.append(state)
        if state.frames == 10:
            change(replace(state, frames=30))

    with pytest.raises(InputError, match="was changed"):
        stylize_video(config(source, tmp_path / "out.mp4"), progress=both)
    assert not (tmp_path / "out.mp4").exists()
    assert seen[-1].frames <= 17, "found out at the end of the segment"


def test_a_touch_of_the_input_loses_nothing(tmp_path: Path, clip: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes())

    def touch(state: Progress) -> None:
        if state.frames == 30:
            os.utime(source, ns=(1, 1))

    assert stylize_video(config(source, tmp_path / "out.mp4"), progress=touch).frames == 40


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_frame_may_last_long_on_a_fine_clock(tmp_path: Path, ending: str) -> None:
    """Segments count coarser there, the output as before; two frames are closer than a tick of theirs."""
    times = (0, 40_000_000, 40_001_000, 3_000_000_000, 6_000_000_000, 6_040_000_000)
    source = make_clip(tmp_path / "in.nut", Clip(pts=times, time_base=Fraction(1, 10**9)))
    target = tmp_path / f"out.{ending}"
    assert stylize_video(config(source, target)).frames == 6
    shown = [round(float(seconds), 2) for seconds in contents(target).relative_times]
    assert shown == [0, 0.04, 0.04, 3, 6, 6.04]


def test_weights_are_known_by_their_content(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.registry import BUNDLED

    (tmp_path / "own.safetensors").write_bytes(BUNDLED.read_bytes())
    monkeypatch.chdir(tmp_path)
    stop_at(20, clip, tmp_path / "out.mp4", stylize=replace(PAINTED, style="own.safetensors#great-wave"))
    same = replace(PAINTED, style="./own.safetensors#great-wave")
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=same)).frames_reused == 16


def test_an_encoder_that_fails_keeps_the_finished_segments(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = SegmentWriter.write, Counter[str]()

    def fails(self: SegmentWriter, frame: Frame) -> None:
        calls["write"] += 1
        if calls["write"] == 20:
            raise av.ArgumentError(22, "Invalid argument")
        write(self, frame)

    monkeypatch.setattr(SegmentWriter, "write", fails)
    with pytest.raises(EncodeError, match="Invalid argument") as caught:
        stylize_video(config(clip, tmp_path / "out.mp4"))
    assert "are finished in" in caught.value.__notes__[0]
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16


def test_an_encoder_that_loses_a_picture_is_found_out(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SegmentWriter._mux

    def loses(self: SegmentWriter, packets: Iterator[Any]) -> None:
        real(self, (packet for packet in packets if packet.pts))

    monkeypatch.setattr(SegmentWriter, "_mux", loses)
    with pytest.raises(EncodeError, match="7 packets of 8 frames"):
        stylize_video(config(clip, tmp_path / "out.mp4"))


FULL_DISK = """
import resource, signal, sys
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.errors import OutputError
from pipeline.run import stylize_video

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
config = StylizeConfig(style="great-wave", strength=0, engine="eager", device="cpu", precision="fp32")

def limit(state):
    if state.frames == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))

try:
    stylize_video(VideoConfig(source=sys.argv[1], target=sys.argv[2], stylize=config, segment_frames=8), progress=limit)
except OutputError as error:
    print(error, *getattr(error, "__notes__", ()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    summary = stylize_video(VideoConfig(source=sys.argv[1], target=sys.argv[2], stylize=config, segment_frames=8))
    print(summary.frames, summary.frames_reused)
"""


@pytest.mark.parametrize(("size", "reused"), [(500, 0), (13_000, 40)])
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_one_line_and_keeps_the_finished_segments(
    tmp_path: Path, clip: Path, size: int, reused: int
) -> None:
    """Within the first segment, and when the segments are joined."""
    target = tmp_path / "out.mp4"
    command = [sys.executable, "-c", FULL_DISK, str(clip), str(target), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    said, counted = done.stdout.splitlines()
    assert "cannot be written (File too large)" in said
    assert ("are finished in" in said) == bool(reused)
    assert counted == f"40 {reused}"
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize(("free", "outcome"), [(100, "refused"), (9_000, "noted"), (10**9, "silent")])
def test_the_room_that_is_needed_is_estimated_first(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, free: int, outcome: str
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(pipeline.resume.disk_space.shutil, "disk_usage", lambda folder: usage)
    said: list[str] = []
    if outcome == "refused":
        with pytest.raises(OutputError, match="are free"):
            stylize_video(config(clip, tmp_path / "out.mp4"))
        assert os.listdir(tmp_path) == []
        return
    stylize_video(config(clip, tmp_path / "out.mp4"), notify=said.append)
    assert any("it may become full" in line for line in said) == (outcome == "noted")


# --- the output that is made of the segments ---

HELD = [
    ("h264", "mp4"), ("h264", "mkv"), ("h264", "mov"), ("h265", "mp4"), ("h265", "mkv"), ("h265", "mov"),
    ("av1", "mp4"), ("av1", "mkv"), ("av1", "webm"), ("vp9", "mp4"), ("vp9", "mkv"), ("vp9", "webm"),
    ("prores", "mov"), ("prores", "mkv"), ("ffv1", "mkv"),
]  # fmt: skip


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames in milliseconds, which every container can tell exactly; the last one stays for 700."""
    pts = tuple(int(step) for step in np.cumsum([0, *([33, 34, 1, 50, 20] * 8)][:40]))
    clip = Clip(pts=pts, time_base=Fraction(1, 1000), audio=[Audio()], last_duration=700)
    return make_clip(tmp_path_factory.mktemp("uneven") / "in.mkv", clip)


@pytest.mark.parametrize(("codec", "ending"), HELD)
def test_every_codec_and_container_gives_every_frame_at_its_time(
    tmp_path: Path, uneven: Path, codec: str, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """N frames in, N frames out, for codecs that look ahead and reorder; exact times, and the last one's duration."""
    target = tmp_path / f"out.{ending}"
    plain = replace(PAINTED, strength=0.0)
    summary = stylize_video(config(uneven, target, stylize=plain, encode=EncodeConfig(codec=codec), segment_frames=11))
    before, after = contents(uneven), contents(target)
    assert summary.frames == len(after.times) == 40
    assert after.relative_times == before.relative_times
    assert _seconds_shown(target) == before.relative_times[-1] + Fraction(7, 10)
    if ending != "webm":
        assert after.audio == before.audio
        assert abs(after.offset - before.offset) <= Fraction(1, 48000)
    assert _far_from_square(target) < 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("count", "ending"), [(9, "mp4"), (10, "mkv")])
def test_a_last_segment_of_one_or_two_frames_is_written_in_h265(tmp_path: Path, count: int, ending: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 40 * count, 40), time_base=Fraction(1, 1000)))
    plain = replace(PAINTED, strength=0.0, stability="none")
    stylize_video(config(source, tmp_path / f"out.{ending}", stylize=plain, encode=EncodeConfig(codec="h265")))
    assert contents(tmp_path / f"out.{ending}").relative_times == contents(source).relative_times


def test_the_last_frame_lasts_as_long_as_the_one_before_where_the_source_does_not_tell(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.flv", FLASH)
    plain = replace(PAINTED, strength=0.0, stability="none")
    stylize_video(config(source, tmp_path / "out.mp4", stylize=plain))
    assert _seconds_shown(tmp_path / "out.mp4") == Fraction(24 * 40, 1000)


def test_a_container_without_durations_has_none_after_an_interruption_either(tmp_path: Path) -> None:
    """FFmpeg makes some up, but not for what it reads ahead."""
    source, plain = make_clip(tmp_path / "in.flv", FLASH), replace(PAINTED, strength=0.0, stability="none")
    stylize_video(config(source, tmp_path / "whole.mkv", stylize=plain))
    stop_at(20, source, tmp_path / "out.mkv", stylize=plain)
    summary = stylize_video(config(source, tmp_path / "out.mkv", stylize=plain))
    assert summary.frames_reused == 16
    assert contents(tmp_path / "out.mkv").durations == contents(tmp_path / "whole.mkv").durations


def _seconds_shown(path: Path) -> Fraction:
    """From the first frame to the end of the last; an mp4 tells of the whole alone."""
    found = contents(path)
    if path.suffix in (".mkv", ".webm"):
        return found.relative_times[-1] + found.durations[-1]
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.duration is not None
        return Fraction(video.duration * video.time_base)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_the_last_duration_of_an_mp4_is_read_and_written(tmp_path: Path, uneven: Path, ending: str) -> None:
    plain = replace(PAINTED, strength=0.0)
    stylize_video(config(uneven, tmp_path / "in.mp4", stylize=plain))
    stylize_video(config(tmp_path / "in.mp4", tmp_path / f"out.{ending}", stylize=plain))
    assert _seconds_shown(tmp_path / f"out.{ending}") == _seconds_shown(tmp_path / "in.mp4") == _seconds_shown(uneven)


def _far_from_square(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return max(float(np.abs(picture.astype(int) - moving_square(n)).mean()) for n, picture in enumerate(frames))


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "prores"])
def test_segments_and_one_pass_write_the_same_pictures_head_and_tags(tmp_path: Path, clip: Path, codec: str) -> None:
    ending = "mov" if codec == "prores" else "mp4"
    encode = EncodeConfig(codec=codec)
    stylize_video(config(clip, tmp_path / f"kept.{ending}", encode=encode, segment_frames=600))
    stylize_video(config(clip, tmp_path / f"plain.{ending}", encode=encode, in_segments=False))
    kept, plain = (_stream_of(tmp_path / f"{name}.{ending}") for name in ("kept", "plain"))
    assert kept == plain
    a, b = contents(tmp_path / f"kept.{ending}"), contents(tmp_path / f"plain.{ending}")
    assert (a.times, a.tags, a.audio, a.audio_times, a.metadata) == (
        b.times,
        b.tags,
        b.audio,
        b.audio_times,
        b.metadata,
    )


def _stream_of(path: Path) -> tuple[Any, ...]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        tag, head = stream.codec_context.codec_tag, stream.codec_context.extradata
        return tag, head, stream.sample_aspect_ratio, stream.time_base, packets


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_animations_go_on_too(tmp_path: Path, clip: Path, ending: str) -> None:
    stylize_video(config(clip, tmp_path / f"whole.{ending}"))
    stop_at(20, clip, tmp_path / f"out.{ending}")
    assert stylize_video(config(clip, tmp_path / f"out.{ending}")).frames_reused == 16
    assert (tmp_path / f"out.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_however_many_wait_all_frames_come_out(tmp_path: Path, count: int, depth: int) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=UNEVEN[:count]))
    assert stylize_video(config(source, tmp_path / "out.mp4", depth=depth)).frames == count
    assert len(contents(tmp_path / "out.mp4").times) == count


def test_a_result_that_is_not_what_it_should_be_is_not_shown(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.encode.muxer import Muxer

    write = Muxer.write_video_packet

    def loses_the_last(self: Muxer, packet: Any) -> None:
        if self.video_packets < 39:
            write(self, packet)

    monkeypatch.setattr(Muxer, "write_video_packet", loses_the_last)
    with pytest.raises(EncodeError, match="39 frames instead of 40"):
        stylize_video(config(clip, tmp_path / "out.mp4"))
    assert os.listdir(tmp_path) == ["out.mp4.flowbrush"]


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"the old one")
    encode = EncodeConfig(overwrite=True)
    stop_at(20, clip, target, encode=encode)
    assert target.read_bytes() == b"the old one"
    with pytest.raises(OutputError, match="exists already"):
        stylize_video(config(clip, target))
    assert stylize_video(config(clip, target, encode=encode)).frames_reused == 16
    assert len(contents(target).times) == 40


def test_a_clip_that_replaces_itself_goes_on_too(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "in.mp4"
    path.write_bytes(clip.read_bytes())
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    encode = EncodeConfig(overwrite=True)
    stop_at(20, path, path, encode=encode)
    assert stylize_video(config(path, path, encode=encode)).frames_reused == 16
    assert contents(path).times == contents(tmp_path / "whole.mp4").times
    assert all(np.array_equal(a, b) for a, b in zip(_planes(path), _planes(tmp_path / "whole.mp4"), strict=True))


def _planes(path: Path) -> list[Any]:
    found: Contents = contents(path)
    return list(found.planes)


# --- the pieces ---


def test_a_segment_ends_by_the_clip_alone() -> None:
    def frames(seconds: list[int]) -> Iterator[Frame]:
        for second in seconds:
            yield Frame(np.full((2, 2, 3), second, np.uint8), second, Fraction(1))

    def ends(seconds: list[int], index: int = 0) -> list[int]:
        marked = mark_segments(frames(seconds), index, seconds=Fraction(4), length=5)
        return [frame.boundary.next_index for frame in marked if frame.boundary is not None]

    times = [0, 1, 3, 4, 5, 6, 7, 8, 9, 20, 21]
    assert ends(times) == [3, 7, 9, 11]
    assert ends(times[7:], 7) == [9, 11], "one that goes on makes the same"
    assert ends([]) == []


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    segments = [
        Segment("00000000.mp4", 7, (-3, 0, 33, 67, 100), (3, 33, 34, 33, None), 2, "ab", "cd"),
        Segment("00000005.mp4", 8, (133,), (33,), 0, "ab", "ef"),
    ]
    manifest = Manifest({"input": 1}, {"engine": "eager"}, Fraction(1, 1000), 12.5, segments, output_signature=(5, 6))
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest
    assert manifest.frames == 6
    assert manifest.finished_seconds == pytest.approx(0.169)
    assert os.listdir(tmp_path) == ["manifest.json"]
    text = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(text | {"format": 0}))
    with pytest.raises(ManifestError, match="another version"):
        read_manifest(str(tmp_path))
    assert read_manifest(str(tmp_path / "nowhere")) is None


def test_decoding_times_grow_and_never_lie_behind_presentation() -> None:
    pts, order = [0, 1, 700, 701, 702, 2000, 2001], [0, 3, 1, 2, 6, 4, 5]
    dts = decoding_times(pts, delay=2)
    assert all(a < b for a, b in pairwise(dts))
    assert all(time <= pts[rank] for time, rank in zip(dts, order, strict=True))
    assert decoding_times([5], delay=0) == [5]


@pytest.mark.parametrize("name", ["film.mp4", "n" * 250 + ".mp4", "é" * 125 + ".mp4", "a" * 245 + "b.mp4"])
def test_the_folder_lies_beside_the_output_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = Path(work_dir_path(str(tmp_path / name)))
    assert folder.parent == tmp_path
    assert len(os.fsencode(folder.name)) <= 255
    assert folder.name.endswith(".flowbrush")
    assert folder != Path(work_dir_path(str(tmp_path / f"x{name[1:]}")))
    folder.mkdir()


def test_what_else_lies_in_the_folder_stays(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "out.mp4.flowbrush"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    stylize_video(config(clip, tmp_path / "out.mp4"))
    assert os.listdir(folder) == ["notes.txt"]


def test_the_summary_counts_what_was_reused(tmp_path: Path, clip: Path) -> None:
    stop_at(20, clip, tmp_path / "out.mp4")
    summary: Summary = stylize_video(config(clip, tmp_path / "out.mp4"))
    assert (summary.frames, summary.frames_reused) == (40, 16)
    assert summary.fps > 0
