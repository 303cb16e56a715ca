"""The style of a picture is improved on the clip before the render, once; an interrupted render resumes with it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import pipeline.train.refine
from models.registry import LoadedStyle, load, to_bytes
from models.training.report import TrainingReport
from pipeline.config import RefineConfig, StylizeConfig, VideoConfig
from pipeline.errors import StyleError
from pipeline.media.stills import read_image
from pipeline.resume.work_folder.manifest import read_manifest, work_dir_path
from pipeline.run import stylize_video
from pipeline.stylize.picture_style import predict_style
from pipeline.train.refine import refine_picture
from tests.support.interrupted.resuming import at_frame, interrupt
from tests.support.media import Clip, make_clip
from tests.support.networks.pictures import write_picture, write_predictor
from tests.support.tiny import loss_state
from tests.support.workers.segment_jobs import InlineExecutor, split_in_two

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN: dict[str, Any] = {"engine": "eager", "device": "cpu", "precision": "fp32", "stability": "none"}


@pytest.fixture(scope="module")
def tiny_predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predictor(tmp_path_factory.mktemp("weights") / "any.safetensors", tiny=True)


@pytest.fixture
def config(tmp_path: Path, tiny_predictor: Path, monkeypatch: pytest.MonkeyPatch) -> VideoConfig:
    """A picture, a clip of 24 frames, and a small loss network; a refinement of a second, in small crops."""
    monkeypatch.setattr("models.predictor.BUNDLED", tiny_predictor)
    monkeypatch.setattr("pipeline.train.refine.CROP_PX", 64)
    torch.save(loss_state(), tmp_path / "loss.pth")
    clip = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 24 * 512, 512), height=64, width=80))
    return VideoConfig(
        source=str(clip),
        target=str(tmp_path / "out.mp4"),
        stylize=StylizeConfig(style_image=str(write_picture(tmp_path / "a.png")), **PLAIN),
        refine=RefineConfig(seconds=1, loss_weights=(tmp_path / "loss.pth",)),
        segment_frames=8,
    )


class Refinements:
    """Counts refinements, which it lets happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for module in ("pipeline.run", "pipeline.workers.long_clip"):
            monkeypatch.setattr(f"{module}.refine_picture", self)

    def __call__(self, *given: Any, **named: Any) -> bytes:
        self.count += 1
        return refine_picture(*given, **named)


def test_a_refined_style_is_closer_to_the_picture(
    config: VideoConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.train.config.UNLIMITED_STEPS", 40)  # the same on a slow machine
    monkeypatch.setattr("pipeline.train.refine.LEARNING_RATE", 2e-3)  # a network of random weights is far from the goal
    config = replace(config, refine=replace(config.refine, seconds=100))
    picture, preview = Path(config.stylize.style), tmp_path / "preview.png"
    validations, notices = list[float](), list[str]()

    def report(each: TrainingReport) -> None:
        validations.extend([sum(each.validation.values())] if each.validation is not None else [])

    content = refine_picture(config, picture, preview, report=report, notify=notices.append)
    assert len(validations) == 2
    assert validations[1] < 0.97 * validations[0]
    (tmp_path / "a.safetensors").write_bytes(content)
    refined, predicted = load(str(tmp_path / "a.safetensors")), predict_style(picture)
    assert refined.metadata.name == "a"
    assert not torch.equal(refined.style.scale, predicted.style.scale)
    assert read_image(preview).shape[0] == 2 * 64, "frames above their stylized versions"
    assert "refining a on frames of the clip for 100 s" in notices[-1]


def test_an_interrupted_render_goes_on_with_the_refined_style(
    config: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    refinements = Refinements(monkeypatch)
    reports: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config, progress=at_frame(20, interrupt), refining=lambda each: reports.append(each.progress))
    assert reports[-1] == 1
    folder = Path(work_dir_path(config.target))
    style = load(str(folder / "style0.safetensors"))
    summary = stylize_video(config)
    assert (summary.frames_reused, summary.style, refinements.count) == (16, "a", 1)
    assert not folder.exists()
    resumed = Path(config.target).read_bytes()
    Path(config.target).unlink()
    monkeypatch.setattr("pipeline.run.refine_picture", lambda *given, **named: written(style))
    stylize_video(config)
    assert Path(config.target).read_bytes() == resumed, "not the frames of an uninterrupted render in that style"


def written(style: LoadedStyle) -> bytes:
    return to_bytes(style.network, [style.style], [style.metadata], {})


@pytest.mark.parametrize("change", ["damaged", "seconds", "loss network"])
def test_another_refinement_starts_from_scratch(
    config: VideoConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    refinements, notices = Refinements(monkeypatch), list[str]()
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config, progress=at_frame(20, interrupt))
    if change == "damaged":
        file = Path(work_dir_path(config.target), "style0.safetensors")
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif change == "seconds":
        config = replace(config, refine=replace(config.refine, seconds=0.5))
    else:
        torch.save({name: 2 * each for name, each in loss_state().items()}, tmp_path / "loss.pth")
    summary = stylize_video(config, notify=notices.append)
    assert (summary.frames_reused, refinements.count) == (0, 2)
    reason = "missing or damaged: starting from scratch" if change == "damaged" else "another refine: starting from"
    assert reason in "\n".join(notices)


def test_an_interrupted_refinement_leaves_only_what_was_there(config: VideoConfig) -> None:
    folder = Path(work_dir_path(config.target))
    seen: list[bool] = []

    def stop(report: TrainingReport) -> None:
        if report.validation is not None:
            seen.append((folder / "refine.png").exists())
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        stylize_video(config, refining=stop)
    assert seen == [True]
    assert not folder.exists()
    plain = replace(config, refine=RefineConfig())
    with pytest.raises(KeyboardInterrupt):
        stylize_video(plain, progress=at_frame(20, interrupt))
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config, refining=stop)
    assert stylize_video(plain).frames_reused == 16, "a refinement that failed deleted another render's frames"


def test_workers_share_the_refined_style(config: VideoConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    refinements, executor = Refinements(monkeypatch), InlineExecutor()
    blend = f"{config.stylize.style}:0.5,{config.stylize.style}:0.5"
    split_in_two(replace(config, stylize=replace(config.stylize, style=blend, paint=2)), executor)
    assert refinements.count == 1
    styles = {job.config.stylize.style for job in executor.jobs}
    assert len(executor.jobs) == 2
    assert len(styles) == 1
    assert styles.pop().count("out.mp4.flowbrush/style0.safetensors:0.5") == 2


def test_without_a_work_folder_the_style_is_refined_too(config: VideoConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    refinements = Refinements(monkeypatch)
    assert stylize_video(replace(config, in_segments=False)).frames == 24
    assert refinements.count == 1


def test_a_clip_of_one_frame_has_the_predicted_style(config: VideoConfig, tmp_path: Path) -> None:
    clip, notices = make_clip(tmp_path / "one.mp4", Clip(pts=[0], height=64, width=80)), list[str]()
    stylize_video(replace(config, source=str(clip)), notify=notices.append)
    assert "the clip has too few frames to refine the style on: it is used as predicted" in notices
    of_frame = Path(config.target).read_bytes()
    Path(config.target).unlink()
    stylize_video(replace(config, source=str(clip), refine=RefineConfig()))
    assert Path(config.target).read_bytes() == of_frame


def test_a_refinement_needs_a_picture_and_a_file(config: VideoConfig) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "improves the style of a picture": {"stylize": StylizeConfig(style="great-wave")},
        "cannot be a pipe": {"source": "-"},
        "belongs to --refine": {"refine": RefineConfig(loss_weights=(Path("a.pth"),))},
    }
    for reason, change in wrong.items():
        with pytest.raises(ValueError, match=reason):
            replace(config, **change)
    with pytest.raises(ValueError, match="refine must be between 0 and 86400"):
        RefineConfig(seconds=-1)


def test_networks_that_diverge_leave_the_prediction(
    config: VideoConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.train.refine, "LEARNING_RATE", 1e20)
    content = refine_picture(
        config, Path(config.stylize.style), tmp_path / "p.png", report=lambda each: None, notify=str
    )
    (tmp_path / "a.safetensors").write_bytes(content)
    refined, predicted = load(str(tmp_path / "a.safetensors")), predict_style(Path(config.stylize.style))
    assert all(map(torch.equal, refined.style.tensors(), predicted.style.tensors()))
    monkeypatch.setattr("models.predictor.BUNDLED", tmp_path / "none")
    with pytest.raises(StyleError, match="missing"):
        stylize_video(config)
    assert read_manifest(work_dir_path(config.target)) is None
