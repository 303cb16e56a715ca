"""``--method optimize`` in `flowbrush image` and `flowbrush video`: written, resumed, and refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import stylize_frames
from pipeline.config import VideoConfig
from pipeline.config.optimize import OptimizeConfig
from pipeline.errors import InputError
from pipeline.image.config import ImageConfig
from pipeline.image.run import stylize_images
from pipeline.resume.fingerprint import optimize_identity
from pipeline.resume.work_folder.manifest import work_dir_path
from pipeline.run import stylize_video
from pipeline.workers.absolute_paths import with_absolute_paths
from tests.support.commands import run
from tests.support.interrupted.resuming import at_frame, interrupt
from tests.support.media import Clip, contents, make_clip
from tests.support.networks.optimizing import optimizing_config, write_optimizing_files
from tests.support.photos import scene

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimizing")
    write_optimizing_files(folder)
    Image.fromarray(scene()).save(folder / "in.png")
    make_clip(folder / "in.mp4", Clip(pts=range(0, 512 * 5, 512)))
    return folder


def test_the_command_optimizes_a_picture_and_reports_how_it_ended(folder: Path, tmp_path: Path) -> None:
    code, output, errors = run(
        "image",
        *(folder / "in.png", tmp_path / "out.png", "--method", "optimize", "--painting", folder / "stripes.png"),
        *("--loss-weights", folder / "loss.pth", "--steps", "2", "--optimizer", "adam", "--device", "cpu", "--json"),
    )
    assert code == 0, errors
    result = json.loads(output)
    assert result["style"] == "stripes"
    assert any("2 steps: all 2 steps are done; loss" in line for line in result["notices"])
    with Image.open(tmp_path / "out.png") as image:
        assert np.abs(np.asarray(image).astype(int) - scene()).mean() > 1


def test_pictures_of_all_sizes_are_optimized(folder: Path, tmp_path: Path) -> None:
    for name, size in {"dot": (1, 1), "line": (300, 2)}.items():
        Image.new("RGB", size, "teal").save(tmp_path / f"{name}.png")
    config = ImageConfig(
        inputs=(str(tmp_path / "dot.png"), str(tmp_path / "line.png")),
        output=str(tmp_path / "out"),
        stylize=optimizing_config(folder, {"steps": 1}),
    )
    summary = stylize_images(config)
    assert [(picture.outcome, picture.width) for picture in summary.pictures] == [("stylized", 1), ("stylized", 300)]


def test_an_interrupted_clip_is_resumed_with_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    def config(name: str) -> VideoConfig:
        stylize = optimizing_config(folder, {"steps": 2})
        return VideoConfig(
            source=str(folder / "in.mp4"), target=str(tmp_path / name), stylize=stylize, segment_frames=2
        )

    stylize_video(config("whole.mp4"))
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config("out.mp4"), progress=at_frame(4, interrupt))
    assert list(Path(work_dir_path(str(tmp_path / "out.mp4"))).glob("*.mp4"))
    reused = []
    summary = stylize_video(config("out.mp4"), progress=lambda state: reused.append(state.reused))
    assert reused[-1] == 2
    assert summary.frames == 5
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert len(contents(tmp_path / "out.mp4").times) == 5


def test_frames_of_the_library_are_optimized_too(folder: Path) -> None:
    config = optimizing_config(folder, {"steps": 1, "optimizer": "adam"})
    first, second = stylize_frames([scene(), scene()], config)
    assert np.abs(first.astype(int) - scene()).mean() > 1
    assert np.abs(second.astype(int) - scene()).mean() > np.abs(first.astype(int) - scene()).mean()


def test_segment_jobs_find_paintings_and_losses_from_every_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    stylize = replace(
        optimizing_config(folder),
        paintings=("stripes.png:2",),
        optimize=OptimizeConfig(loss_weights=(Path("loss.pth"),), preview=Path("p.png")),
    )
    found = with_absolute_paths(VideoConfig(source="in.mp4", target="out.mp4", stylize=stylize)).stylize
    assert found.paintings == (f"{folder / 'stripes.png'}:2",)
    assert found.optimize.loss_weights == (folder / "loss.pth",)
    assert found.optimize.preview == folder / "p.png"


def test_other_paintings_losses_and_weights_start_from_scratch(folder: Path, tmp_path: Path) -> None:
    config = optimizing_config(folder)
    same = replace(config, optimize=replace(config.optimize, preview=tmp_path / "p.png"))
    assert optimize_identity(config) == optimize_identity(same)
    assert json.loads(json.dumps(optimize_identity(config))) == optimize_identity(config)
    (tmp_path / "stripes.png").write_bytes((folder / "in.png").read_bytes())
    for other in (
        replace(config, optimize=replace(config.optimize, steps=5)),
        replace(config, paintings=(str(tmp_path / "stripes.png"),)),
        replace(config, optimize=replace(config.optimize, loss_weights=())),
    ):
        assert optimize_identity(other) != optimize_identity(config)


def test_a_missing_painting_is_one_line_before_anything_is_done(folder: Path, tmp_path: Path) -> None:
    config = replace(optimizing_config(folder), paintings=(str(tmp_path / "none.jpg"),))
    with pytest.raises(InputError, match=r"none\.jpg: no such file"):
        stylize_video(VideoConfig(source=str(folder / "in.mp4"), target=str(tmp_path / "out.mp4"), stylize=config))
    assert not list(tmp_path.iterdir())
