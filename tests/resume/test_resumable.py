"""An interrupted run is resumed by the same command, with the same bytes, or starts from scratch and says why."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import pipeline.resume.engine
from models.registry import bundled, load, to_bytes
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig
from pipeline.decode.demuxer import MediaReader
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.media import hardware
from pipeline.progress import Progress
from pipeline.resume.work_folder.manifest import read_manifest, work_dir_path
from pipeline.run import stylize_video
from pipeline.stylize.picture_style import _predict
from pipeline.stylize.stylizer import Stylizer
from tests.support.interrupted.resuming import (
    FLASH,
    FLOW,
    UNEVEN_PTS,
    UNSTYLIZED,
    at_frame,
    config,
    edit_manifest,
    finish_later,
    interrupt,
    interrupt_at,
)
from tests.support.media import Clip, contents, make_clip, moving_square
from tests.support.networks.pictures import write_picture, write_predictor


@pytest.fixture(scope="module", params=["none", "smooth", "flow"])
def uninterrupted(request: pytest.FixtureRequest, clip: Path) -> tuple[StylizeConfig, bytes]:
    """The settings, and the output of a run that was not interrupted."""
    stylize = replace(FLOW, stability=request.param)
    target = clip.with_name(f"{request.param}.mp4")
    stylize_video(config(clip, target, stylize=stylize))
    return stylize, target.read_bytes()


# --- resumed ---


@pytest.mark.parametrize("frames", [(9,), (30,), (10, 20, 40)])
def test_an_interrupted_run_is_resumed_with_the_same_bytes(
    tmp_path: Path, clip: Path, uninterrupted: tuple[StylizeConfig, bytes], frames: tuple[int, ...]
) -> None:
    stylize, whole = uninterrupted
    target = tmp_path / "out.mp4"
    for frame in frames:
        note = interrupt_at(frame, clip, target, stylize=stylize)
        assert f"finished in {target}.flowbrush" in note
        assert not target.exists()
    progress: list[Progress] = []
    summary = stylize_video(config(clip, target, stylize=stylize), progress=progress.append)
    reused = (frames[-1] - 1) // 8 * 8
    assert (summary.frames, summary.frames_reused) == (40, reused)
    assert [state.frames for state in progress] == list(range(reused + 1, 41))
    assert summary.fps > 0 or reused == 32
    assert target.read_bytes() == whole
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_an_interruption_before_the_first_segment_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    assert interrupt_at(8, clip, tmp_path / "out.mp4") == ""
    assert os.listdir(tmp_path) == []


def test_a_trimmed_and_scaled_clip_is_resumed(tmp_path: Path, clip: Path) -> None:
    decode = DecodeConfig(start_seconds=Fraction(1, 5), duration_seconds=Fraction(3, 5), height=24)
    stylize_video(config(clip, tmp_path / "whole.mp4", decode=decode))
    interrupt_at(10, clip, tmp_path / "out.mp4", decode=decode)
    summary = stylize_video(config(clip, tmp_path / "out.mp4", decode=decode))
    assert 0 < summary.frames_reused < summary.frames < 40
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_scene_cuts_and_fades_are_resumed(tmp_path: Path) -> None:
    """A cut shortly before and shortly after the boundary: statistics of the scene before must not return."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for number in range(30):
            pixels = moving_square(number)
            pixels = 255 - pixels if 13 <= number < 18 else pixels
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="bgr0")))
        container.mux(stream.encode(None))
    stylize = replace(FLOW, style_end="starry-night")
    stylize_video(config(source, tmp_path / "whole.mp4", stylize=stylize))
    interrupt_at(17, source, tmp_path / "out.mp4", stylize=stylize)
    assert stylize_video(config(source, tmp_path / "out.mp4", stylize=stylize)).frames_reused == 16
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("fault", ["lands late", "does not move", "fails"])
def test_where_seeking_is_unreliable_the_input_is_decoded_from_its_start(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    interrupt_at(20, clip, tmp_path / "out.mp4")
    seek, positions = MediaReader.seek, list[Fraction]()

    def unreliable(self: MediaReader, seconds: Fraction) -> None:
        positions.append(seconds)
        if fault == "lands late":
            seek(self, seconds + 2)
        elif fault == "fails":
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(MediaReader, "seek", unreliable)
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16
    assert positions
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_last_frame_that_is_not_found_starts_from_scratch(tmp_path: Path, clip: Path) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    edit_manifest(tmp_path / "out.mp4", lambda data: data["segments"][-1].update(digest="another"))
    lines: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4"), notify=lines.append)
    assert (summary.frames, summary.frames_reused) == (40, 0)
    assert any("from scratch" in line for line in lines)


def test_a_container_without_durations_has_none_after_an_interruption_either(tmp_path: Path) -> None:
    """FFmpeg makes some up, but not for what it reads ahead."""
    source = make_clip(tmp_path / "in.flv", FLASH)
    stylize_video(config(source, tmp_path / "whole.mkv", stylize=UNSTYLIZED))
    interrupt_at(20, source, tmp_path / "out.mkv", stylize=UNSTYLIZED)
    summary = stylize_video(config(source, tmp_path / "out.mkv", stylize=UNSTYLIZED))
    assert summary.frames_reused == 16
    assert contents(tmp_path / "out.mkv").durations == contents(tmp_path / "whole.mkv").durations


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_animations_are_resumed(tmp_path: Path, clip: Path, ending: str) -> None:
    stylize_video(config(clip, tmp_path / f"whole.{ending}"))
    interrupt_at(20, clip, tmp_path / f"out.{ending}")
    assert stylize_video(config(clip, tmp_path / f"out.{ending}")).frames_reused == 16
    assert (tmp_path / f"out.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_all_frames_come_out_whatever_the_depth_of_the_queues(tmp_path: Path, count: int, depth: int) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=UNEVEN_PTS[:count]))
    assert stylize_video(config(source, tmp_path / "out.mp4", depth=depth)).frames == count
    assert len(contents(tmp_path / "out.mp4").times) == count


# --- the output ---


def test_an_old_output_stays_until_the_new_one_is_complete(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"the old one")
    encode = EncodeConfig(overwrite=True)
    interrupt_at(20, clip, target, encode=encode)
    assert target.read_bytes() == b"the old one"
    with pytest.raises(OutputError, match="exists"):
        stylize_video(config(clip, target))
    assert stylize_video(config(clip, target, encode=encode)).frames_reused == 16
    assert len(contents(target).times) == 40


def test_a_clip_that_replaces_itself_is_resumed(tmp_path: Path, clip: Path) -> None:
    path, whole = tmp_path / "in.mp4", tmp_path / "whole.mp4"
    path.write_bytes(clip.read_bytes())
    stylize_video(config(clip, whole))
    encode = EncodeConfig(overwrite=True)
    interrupt_at(20, path, path, encode=encode)
    assert stylize_video(config(path, path, encode=encode)).frames_reused == 16
    assert contents(path).times == contents(whole).times
    for old, new in zip(contents(path).planes, contents(whole).planes, strict=True):
        assert np.array_equal(old, new)


def test_a_run_that_was_killed_after_the_output_was_in_place_needs_nothing(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(clip, tmp_path / "out.mp4"), finished=interrupt)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    assert stylize_video(config(clip, tmp_path / "out.mp4"), make=Unavailable).frames_reused == 40
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_fresh_replaces_no_finished_output(tmp_path: Path, clip: Path) -> None:
    """Even if the run was killed before it removed its work folder."""
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(clip, tmp_path / "out.mp4"), finished=interrupt)
    before = (tmp_path / "out.mp4").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        stylize_video(config(clip, tmp_path / "out.mp4", fresh=True))
    assert (tmp_path / "out.mp4").read_bytes() == before
    assert stylize_video(config(clip, tmp_path / "out.mp4"), make=Unavailable).frames_reused == 40


# --- started from scratch ---


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stylize": replace(FLOW, strength=0.5)}, "settings"),
        ({"stylize": replace(FLOW, style="starry-night")}, "weights"),
        ({"encode": EncodeConfig(quality=30)}, "settings (codec options)"),
        ({"decode": DecodeConfig(height=24)}, "height"),
    ],
)
def test_another_setting_starts_from_scratch(tmp_path: Path, clip: Path, changes: dict[str, Any], named: str) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    lines: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4", **changes), notify=lines.append)
    assert (summary.frames, summary.frames_reused) == (40, 0)
    assert [line for line in lines if "from scratch" in line and named in line]


@pytest.mark.parametrize("faults", [(None, "no device"), ("no device", None)])
def test_another_decoder_starts_from_scratch(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, faults: tuple[str | None, str | None]
) -> None:
    """A GPU that decodes in one run and not in the other, though both ask for it."""
    asked, lines = DecodeConfig(hwaccel="cuda"), list[str]()

    def let_gpu_decode(fault: str | None) -> None:
        monkeypatch.setattr(hardware, "_accelerator", lambda device, **settings: None)
        monkeypatch.setattr(hardware, "decoder_fault", lambda device: fault)
        monkeypatch.setattr(hardware, "_FROM_DEVICE", () if fault else ("yuv420p",))

    let_gpu_decode(faults[0])
    interrupt_at(20, clip, tmp_path / "out.mp4", decode=asked)
    let_gpu_decode(faults[1])
    summary = stylize_video(config(clip, tmp_path / "out.mp4", decode=asked), notify=lines.append)
    assert (summary.frames, summary.frames_reused) == (40, 0)
    assert any("another decoder" in line and "from scratch" in line for line in lines)
    assert any("the GPU does not decode the source (no device)" in line for line in lines) == (faults[1] is not None)


def test_another_input_starts_from_scratch(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=UNEVEN_PTS))
    interrupt_at(20, source, tmp_path / "out.mp4")
    make_clip(source, Clip(pts=UNEVEN_PTS, options={"crf": "30"}))
    lines: list[str] = []
    assert stylize_video(config(source, tmp_path / "out.mp4"), notify=lines.append).frames_reused == 0
    assert any("another input" in line for line in lines)


def test_other_weights_under_the_same_name_start_from_scratch(tmp_path: Path, clip: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(bundled()["great-wave"].path.read_bytes())
    stylize = replace(FLOW, style=f"{own}#great-wave")
    interrupt_at(20, clip, tmp_path / "out.mp4", stylize=stylize)
    loaded = load("great-wave")
    own.write_bytes(to_bytes(loaded.network, [loaded.style], [loaded.metadata], {}))
    lines: list[str] = []
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize), notify=lines.append).frames_reused == 0
    assert any("another weights" in line for line in lines)


def test_the_style_of_a_picture_is_resumed_with_the_same_bytes(tmp_path: Path, clip: Path, any_picture: Path) -> None:
    picture = write_picture(tmp_path / "a.png")
    stylize = replace(FLOW, style=f"{picture}:0.5,great-wave:0.5", paint=2)
    stylize_video(config(clip, tmp_path / "whole.mp4", stylize=stylize))
    interrupt_at(20, clip, tmp_path / "out.mp4", stylize=stylize)
    _predict.cache_clear()
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize)).frames_reused == 16
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("change", ["picture", "predictor", "dial"])
def test_another_picture_predictor_or_dial_starts_from_scratch(
    tmp_path: Path, clip: Path, any_picture: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    stylize = replace(FLOW, style=str(write_picture(tmp_path / "a.png")))
    interrupt_at(20, clip, tmp_path / "out.mp4", stylize=stylize)
    if change == "picture":
        write_picture(tmp_path / "a.png", seed=1)
    elif change == "predictor":
        monkeypatch.setattr("models.predictor.BUNDLED", write_predictor(tmp_path / "new.safetensors", seed=1))
    else:
        stylize = replace(stylize, stillness=2)
    notices: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4", stylize=stylize), notify=notices.append)
    assert summary.frames_reused == 0
    assert f"another {'settings (stillness)' if change == 'dial' else 'weights (style)'}: starting" in "".join(notices)


def test_weights_are_compared_by_content(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.safetensors").write_bytes(bundled()["great-wave"].path.read_bytes())
    monkeypatch.chdir(tmp_path)
    interrupt_at(20, clip, tmp_path / "out.mp4", stylize=replace(FLOW, style="own.safetensors#great-wave"))
    same = replace(FLOW, style="./own.safetensors#great-wave")
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=same)).frames_reused == 16


def test_partial_output_of_another_version_is_not_used(tmp_path: Path, clip: Path) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    edit_manifest(tmp_path / "out.mp4", lambda data: data.update(format=1))
    lines: list[str] = []
    assert stylize_video(config(clip, tmp_path / "out.mp4"), notify=lines.append).frames_reused == 0
    assert any("another version" in line and "from scratch" in line for line in lines)


def test_fresh_deletes_partial_output(tmp_path: Path, clip: Path) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    assert stylize_video(config(clip, tmp_path / "out.mp4", fresh=True)).frames_reused == 0
    assert "without --fresh" in interrupt_at(20, clip, tmp_path / "new.mp4", fresh=True)


@pytest.mark.parametrize(
    ("damage", "reused", "named"),
    [
        ("manifest is no JSON", 0, "manifest"),
        ("last line of the manifest", 16, ""),
        ("manifest lacks times", 0, "manifest"),
        ("first segment", 0, "from scratch"),
        ("last segment", 16, "after frame 16"),
        ("last state", 16, "after frame 16"),
        ("all states", 0, "from scratch"),
    ],
)
def test_damaged_partial_output_is_used_as_far_as_it_is_intact(
    tmp_path: Path, clip: Path, damage: str, reused: int, named: str
) -> None:
    stylize_video(config(clip, tmp_path / "whole.mp4"))
    interrupt_at(27, clip, tmp_path / "out.mp4")
    folder = tmp_path / "out.mp4.flowbrush"
    manifest = folder / "manifest.jsonl"
    if damage == "manifest is no JSON":
        manifest.write_bytes(manifest.read_bytes()[40:])
    elif damage == "last line of the manifest":
        manifest.write_bytes(manifest.read_bytes()[:-40])
    elif damage == "manifest lacks times":
        manifest.write_text(manifest.read_text().replace('"frames": 8', '"frames": 9'))
    elif damage.endswith("segment"):
        segments = sorted(folder.glob("*.mp4"))
        segments[0 if damage.startswith("first") else -1].write_bytes(b"short")
    else:
        for state in sorted(folder.glob("*.safetensors"))[-1 if damage == "last state" else 0 :]:
            state.write_bytes(state.read_bytes()[:-8])
    lines: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4"), notify=lines.append)
    assert (summary.frames, summary.frames_reused) == (40, reused)
    assert any(named in line for line in lines) == bool(named)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_partial_output_is_deleted_only_by_the_first_new_frame(tmp_path: Path, clip: Path) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    unavailable = replace(FLOW, device="cuda:99")
    with pytest.raises(DeviceError):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=unavailable))
    with pytest.raises(DeviceError):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=unavailable, fresh=True))
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16


def test_an_interruption_while_the_input_is_hashed_keeps_partial_output(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4")
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.sha256", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            stylize_video(config(clip, tmp_path / "out.mp4"))
    assert stylize_video(config(clip, tmp_path / "out.mp4")).frames_reused == 16


# --- the engine ---


class Unavailable(Stylizer):
    """A stylizer on a machine without the engine that is named; ``auto`` uses eager, and nothing else later."""

    def __init__(self, config: StylizeConfig, **clip: Any) -> None:
        if config.engine != "auto":
            raise DeviceError("it was removed")
        super().__init__(replace(config, engine="eager"), **clip | {"may_change": False})


def test_the_engine_never_changes_within_a_clip(tmp_path: Path, clip: Path) -> None:
    stylize, target = replace(FLOW, engine="auto", precision="auto"), tmp_path / "out.mp4"
    interrupt_at(20, clip, target, stylize=stylize)
    manifest = read_manifest(work_dir_path(str(target)))
    assert manifest is not None
    with pytest.raises(DeviceError, match=rf"{manifest.engine['engine']} .*it was removed.*--fresh"):
        stylize_video(config(clip, target, stylize=stylize), make=Unavailable)
    assert read_manifest(work_dir_path(str(target))) == manifest
    summary = stylize_video(config(clip, target, stylize=stylize, fresh=True), make=Unavailable)
    assert (summary.frames, summary.frames_reused, summary.engine) == (40, 0, "eager")


def test_a_clip_is_not_resumed_on_another_gpu(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr(pipeline.resume.engine, "gpu_name", lambda device: "one GPU")
    interrupt_at(20, clip, target)
    monkeypatch.setattr(pipeline.resume.engine, "gpu_name", lambda device: "another GPU")
    with pytest.raises(DeviceError, match=r"on cpu \(one GPU\).*on cpu \(another GPU\).*--fresh"):
        stylize_video(config(clip, target))
    monkeypatch.undo()
    with pytest.raises(DeviceError, match=r"on cpu \(one GPU\).*--fresh"):
        stylize_video(config(clip, target))


def test_finished_segments_become_the_output_on_any_machine(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "out.mp4"
    finish_later(clip, target)
    edit_manifest(target, lambda data: data["identity"]["machine"].update(processor="another"))
    summary = stylize_video(config(clip, target), make=Unavailable)
    assert (summary.frames_reused, summary.engine) == (40, "eager")
    assert len(contents(target).times) == 40


# --- an input that changes ---


@pytest.fixture
def source(tmp_path: Path, clip: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(clip.read_bytes())
    return path


def test_an_input_that_is_removed_is_an_error_and_keeps_partial_output(
    tmp_path: Path, clip: Path, source: Path
) -> None:
    with pytest.raises(InputError, match="removed") as caught:
        stylize_video(config(source, tmp_path / "out.mp4"), progress=at_frame(30, source.unlink))
    assert "finished in" in caught.value.__notes__[0]
    source.write_bytes(clip.read_bytes())
    assert stylize_video(config(source, tmp_path / "out.mp4")).frames_reused == 24


def test_an_input_that_changes_is_an_error_at_the_end_of_the_segment(tmp_path: Path, source: Path) -> None:
    seen: list[int] = []

    def progress(state: Progress) -> None:
        seen.append(state.frames)
        if state.frames == 10:
            source.write_bytes(source.read_bytes() + b"more")

    with pytest.raises(InputError, match="changed"):
        stylize_video(config(source, tmp_path / "out.mp4"), progress=progress)
    assert not (tmp_path / "out.mp4").exists()
    assert seen[-1] <= 17


def test_another_mtime_of_the_input_does_not_matter(tmp_path: Path, source: Path) -> None:
    touch = at_frame(30, lambda: os.utime(source, ns=(1, 1)))
    assert stylize_video(config(source, tmp_path / "out.mp4"), progress=touch).frames == 40


@pytest.mark.parametrize("is_replaced", [False, True], ids=["in place", "by another file"])
def test_an_input_that_changes_without_another_size_or_mtime_is_an_error(
    tmp_path: Path, source: Path, is_replaced: bool
) -> None:
    def change() -> None:
        before, data = source.stat(), bytearray(source.read_bytes())
        data[-20:] = bytes(20)
        if is_replaced:
            (tmp_path / "new").write_bytes(data)
            (tmp_path / "new").replace(source)
        else:
            with source.open("r+b") as file:
                file.write(data)
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (source.stat().st_size, source.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    with pytest.raises(InputError, match="changed"):
        stylize_video(config(source, tmp_path / "out.mp4"), progress=at_frame(30, change))
    assert not (tmp_path / "out.mp4").exists()


def test_frames_that_matroska_cannot_tell_apart_are_counted_when_segments_are_concatenated(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(20), time_base=Fraction(1, 2000)))
    summary = stylize_video(config(path, tmp_path / "out.mkv", stylize=UNSTYLIZED))
    times = contents(tmp_path / "out.mkv").times
    repeated = len(times) - len(set(times))
    assert summary.frames == len(times) == 20
    assert repeated > 5
    assert f"frames have the same time as the frame before ({repeated})" in " ".join(summary.notices)
