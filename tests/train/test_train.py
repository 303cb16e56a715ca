"""From images on disk to a weight file, with a tiny random loss network: seconds instead of minutes."""

import dataclasses
import itertools
import json
import os
import pickle
import pkgutil
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import VGG19_Weights
from typer.testing import CliRunner

import cli
from models.registry import LoadedStyle, load, read_catalog
from models.training.data.content import central_crops
from models.training.data.pairs import FramePairs
from models.training.data.synthetic_motion import MARGIN_PX
from models.training.losses.objective import LossWeights, Objective, StylizedPairs
from models.training.report import TrainingReport
from pipeline.config.style_spec import Dials
from pipeline.errors import DeviceError, InputError, OutputError, StyleError
from pipeline.stylize.loss_networks import digest
from pipeline.stylize.picture_style import predict_style
from pipeline.train.config import (
    MINUTES,
    NETWORK_RATE,
    STEPS,
    UNLIMITED_STEPS,
    VECTORS_FIRST,
    TrainConfig,
    read_paintings,
)
from pipeline.train.setup import build_trainer
from pipeline.train.shared_options import checkpoint_of, preview_of
from pipeline.train.style_metadata import metadata_of
from pipeline.train.train import train
from tests.support.media import Clip, make_clip
from tests.support.networks.pictures import write_predictor
from tests.support.networks.training import training_config, write, write_training_files
from tests.support.tiny import blobs, photos, stripes, torchvision_vgg19_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_default_weights_are_those_of_the_objective() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for name, value in dataclasses.asdict(LossWeights()).items():
        assert defaults[f"{name}_weight"] == value


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    write_training_files(tmp_path)
    (tmp_path / "cards.json").write_text(json.dumps({"stripes": {"painting": "Stripes", "painter": "Nobody"}}))
    return training_config(tmp_path, tmp_path / "out" / "mine.safetensors", cards=tmp_path / "cards.json")


@pytest.fixture
def ready(config: TrainConfig) -> TrainConfig:
    config.output.parent.mkdir()
    return config


def test_training_from_files_to_a_file(ready: TrainConfig) -> None:
    reports: list[TrainingReport] = []
    summary = train(ready, reports.append)
    assert summary.steps == len(reports) == 3
    assert summary.ended == "steps"
    assert summary.loss_networks == ["normalised VGG-19"]
    assert sorted(path.name for path in ready.output.parent.iterdir()) == ["mine.preview.png", "mine.safetensors"]

    catalog = read_catalog(ready.output)
    card = catalog.styles["stripes"]
    assert (card.painting, card.painter, card.licence, card.painting_px) == ("Stripes", "Nobody", "CC0", 64)
    assert card.figures["validation_style"] == pytest.approx(summary.validation["style"], abs=1e-4)
    recipe = catalog.recipe
    assert recipe["settings"]["steps"] == 3
    assert recipe["content"]["pictures"] == 4
    assert recipe["paintings"]["stripes"]["file"] == "stripes.png"
    assert recipe["loss_networks"][0]["network"] == "normalised VGG-19"
    assert recipe["steps_run"] in (2, 3)

    painter = load(str(ready.output))
    with torch.no_grad():
        assert painter.network(torch.rand(1, 3, 20, 20), painter.style)[0].isfinite().all()
    with Image.open(preview_of(ready.output)) as preview:
        assert preview.size == (64, 128)  # one held-out photo, its stylized version below


def test_the_held_out_photo_is_above_its_stylized_version(ready: TrainConfig) -> None:
    train(ready)
    with Image.open(preview_of(ready.output)) as preview:
        top = np.asarray(preview)[:64].astype(float)
    seen = central_crops(photos(4), 64 + 2 * MARGIN_PX)[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    distances = np.abs(top - seen.permute(0, 2, 3, 1).numpy() * 255).mean(axis=(1, 2, 3))
    assert distances.min() < 1


@pytest.fixture
def earlier(ready: TrainConfig, tmp_path: Path) -> Path:
    """A weight file of two styles to start from."""
    paintings = {"a": ready.paintings["stripes"], "b": ready.paintings["stripes"]}
    train(dataclasses.replace(ready, paintings=paintings, output=tmp_path / "start.safetensors", steps=4))
    return tmp_path / "start.safetensors"


def test_a_new_style_starts_as_the_mean_of_the_known_ones(ready: TrainConfig, earlier: Path) -> None:
    first, second = (load(f"{earlier}#{name}") for name in ("a", "b"))
    image = ready.paintings["stripes"]
    config = dataclasses.replace(ready, start=earlier, from_scratch=False, paintings={"new": image, "b": image})
    trainer, _ = build_trainer(config, metadata_of(config), print)
    mean, known = trainer.styles()
    assert torch.equal(mean.scale, (first.style.scale + second.style.scale) / 2)
    assert torch.equal(known.scale, second.style.scale)
    assert all(map(torch.equal, mean.convolutions, first.style.convolutions))
    assert all(parameter.requires_grad for parameter in trainer.bank.parameters())


def test_a_new_style_starts_as_its_prediction(
    ready: TrainConfig, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = write_predictor(tmp_path / "any.safetensors", tiny=True)
    monkeypatch.setattr("models.predictor.BUNDLED", predictor)
    config = dataclasses.replace(ready, from_scratch=False, stillness=9)
    trainer, recipe = build_trainer(config, metadata_of(config), print)
    (start,) = trainer.styles()
    predicted = predict_style(ready.paintings["stripes"], Dials(stillness=4)).style
    assert all(map(torch.equal, start.tensors(), predicted.tensors()))
    assert recipe["start"] == digest(predictor)
    for changes in ({"start": earlier}, {"from_scratch": True}):
        other = dataclasses.replace(config, **changes)
        trainer, _ = build_trainer(other, metadata_of(other), print)
        assert not torch.equal(trainer.styles()[0].scale, start.scale)
    assert train(config).steps == 3


def test_the_recipe_names_the_weights_that_were_read(ready: TrainConfig, earlier: Path) -> None:
    """They are read once: another file may have their name later."""
    (ready.content[0] / "broken.png").write_text("no photo")
    before = digest(earlier)
    config = dataclasses.replace(ready, start=earlier, from_scratch=False)
    _, recipe = build_trainer(config, metadata_of(config), lambda line: earlier.write_text("no weights"))
    assert earlier.read_text() == "no weights"
    assert recipe["start"] == before


class Recording:
    """Passes everything on to another objective, and keeps the pairs of frames that it sees."""

    def __init__(self, objective: Objective) -> None:
        self.targets = objective.targets
        self._objective = objective
        self.pairs: list[FramePairs] = []

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        self.pairs.append(pairs)
        return self._objective.terms(pairs, stylized, targets)


def test_a_new_style_is_trained_on_a_clip(ready: TrainConfig, earlier: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=72))
    config = dataclasses.replace(ready, start=earlier, from_scratch=False, content=[clip], steps=5)
    trainer, _ = build_trainer(config, metadata_of(config), print)
    trainer.objective = recording = Recording(trainer.objective)
    list(trainer.run())
    from_clip = [torch.equal(pairs.first, pairs.clean_first) for pairs in recording.pairs]  # no noise is added to clips
    assert any(from_clip)
    assert not all(from_clip)
    notes: list[str] = []
    summary = train(config, notify=notes.append)
    assert (summary.steps, summary.ended) == (5, "steps")
    assert summary.seconds > 0
    assert notes == ["training on 15 images, and on 15 pairs of frames of 1 clip"]
    recipe = read_catalog(ready.output).recipe
    assert recipe["clips"]["pairs"] == 15
    assert (recipe["settings"]["network_rate"], recipe["settings"]["vectors_first"]) == (NETWORK_RATE, VECTORS_FIRST)
    assert load(str(ready.output)).metadata.name == "stripes"


def test_a_clip_can_be_a_style_image(ready: TrainConfig, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "style.mp4", Clip(width=96, height=72))
    train(dataclasses.replace(ready, paintings={"moving": clip}, cards=None, steps=1))
    assert load(str(ready.output)).metadata.name == "moving"


def test_the_time_limit_ends_the_run(ready: TrainConfig) -> None:
    summary = train(dataclasses.replace(ready, steps=None, minutes=1e-4))
    assert summary.ended == "minutes"
    assert summary.steps == 2


def test_a_resumed_run_keeps_its_length_and_rates(ready: TrainConfig, earlier: Path) -> None:
    first = dataclasses.replace(
        ready, start=earlier, from_scratch=False, network_rate=0.5, vectors_first=0.4, plateau=9
    )
    with pytest.raises(KeyboardInterrupt):
        train(first, lambda report: stop_at(1, report))
    assert train(dataclasses.replace(ready, start=earlier, from_scratch=False, steps=None, resume=True)).steps == 3
    settings = read_catalog(ready.output).recipe["settings"]
    assert (settings["network_rate"], settings["vectors_first"], settings["plateau"]) == (0.5, 0.4, 9)


def test_more_style_images_mean_more_steps(ready: TrainConfig) -> None:
    def length(**changes: object) -> tuple[int, float | None]:
        config = dataclasses.replace(ready, **({"steps": None, "minutes": None} | changes))  # type: ignore[arg-type]
        return config.settings().steps, config.settings().minutes

    assert length() == (STEPS, MINUTES)
    assert length(paintings={"a": Path("a.png"), "b": Path("b.png")}) == (2 * STEPS, 2 * MINUTES)
    assert length(minutes=30) == (UNLIMITED_STEPS, 30)
    assert length(steps=70) == (70, None)


def test_nothing_is_compiled_without_time_or_a_compiler(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = dataclasses.replace(ready, compile=True, steps=1)
    assert compiled.settings().compile
    assert not dataclasses.replace(compiled, minutes=1).settings().compile
    monkeypatch.setenv("PATH", str(ready.output.parent))
    monkeypatch.delenv("CXX", raising=False)
    notes: list[str] = []
    train(compiled, notify=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("torch.compile is not available")
    assert notes[0].endswith("install g++")


def test_stroke_size_follows_the_style_image(ready: TrainConfig) -> None:
    train(dataclasses.replace(ready, stroke_size=1.5, steps=1))
    assert read_catalog(ready.output).styles["stripes"].painting_px == 96


def test_stillness_scales_the_temporal_weights(ready: TrainConfig) -> None:
    usual, calm = ready.weights(), dataclasses.replace(ready, stillness=2).weights()
    assert (calm.output, calm.feature) == (2 * usual.output, 2 * usual.feature)
    assert (calm.style, calm.content, calm.variation) == (usual.style, usual.content, usual.variation)


def test_the_file_to_start_from_is_not_replaced(ready: TrainConfig, earlier: Path) -> None:
    before = earlier.read_bytes()
    with pytest.raises(OutputError, match="is the file that training starts from"):
        train(dataclasses.replace(ready, start=earlier, from_scratch=False, output=earlier, overwrite=True))
    assert earlier.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_start_that_cannot_be_used(ready: TrainConfig, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(StyleError, match=r"other\.safetensors"):
        train(dataclasses.replace(ready, start=tmp_path / "other.safetensors", from_scratch=False))


@pytest.mark.parametrize("existing", ["mine.safetensors", "mine.checkpoint", "mine.preview.png"])
def test_an_existing_file_is_kept_unless_told_otherwise(ready: TrainConfig, existing: str) -> None:
    path = ready.output.parent / existing
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=rf"{existing}: .*--overwrite"):
        train(ready)
    assert path.read_bytes() == b"precious"
    train(dataclasses.replace(ready, overwrite=True))
    assert read_catalog(ready.output).styles.keys() == {"stripes"}


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("name", ["mine.safetensors", "mine.checkpoint", "mine.preview.png"])
def test_an_output_that_is_a_link_is_refused(ready: TrainConfig, tmp_path: Path, name: str) -> None:
    (ready.output.parent / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=rf"{name}: .*--overwrite"):
        train(ready)
    assert (ready.output.parent / name).is_symlink()
    assert not (tmp_path / "nowhere").exists()


def tensors(painter: LoadedStyle) -> list[Tensor]:
    return list(painter.style.tensors())


def stop_at(step: int, report: TrainingReport) -> None:
    if report.step == step:
        raise KeyboardInterrupt


@pytest.mark.parametrize("adversarial", [0.0, 0.5])
def test_an_interrupted_run_resumes_where_it_stopped(ready: TrainConfig, tmp_path: Path, adversarial: float) -> None:
    ready = dataclasses.replace(ready, adversarial=adversarial)
    whole = dataclasses.replace(ready, output=tmp_path / "whole.safetensors")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    assert checkpoint_of(ready.output).exists()
    reports: list[TrainingReport] = []
    summary = train(dataclasses.replace(ready, resume=True), reports.append)
    assert [report.step for report in reports] == [2, 3]
    assert summary.steps == 3
    assert not checkpoint_of(ready.output).exists()
    assert read_catalog(ready.output).styles == read_catalog(whole.output).styles
    assert read_catalog(ready.output).recipe == read_catalog(whole.output).recipe
    resumed, uninterrupted = load(str(ready.output)), load(str(whole.output))
    for a, b in zip(tensors(resumed), tensors(uninterrupted), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 9}, "steps 3 -> 9"),
        ({"adversarial": 0.5}, "adversarial 0.0 -> 0.5"),
        ({"style_weight": 2.0}, "weights"),
        ({"painting_px": 70}, ""),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(ready: TrainConfig, change: dict[str, int], named: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    with pytest.raises(StyleError, match=rf"mine\.checkpoint: cannot be resumed .*other .*{named}"):
        train(dataclasses.replace(ready, resume=True, **change))  # type: ignore[arg-type]
    assert checkpoint_of(ready.output).exists()


def interrupting_once(function: Callable[..., Any]) -> Callable[..., Any]:
    calls = itertools.count()

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == 0:
            raise KeyboardInterrupt
        return function(*args, **options)

    return call


@pytest.mark.parametrize("at", ["models.training.trainer.Trainer.validate", "safetensors.torch.save"])
def test_an_interrupted_validation_is_repeated(
    ready: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    ready = dataclasses.replace(ready, validate_every=100)
    whole = dataclasses.replace(ready, output=tmp_path / "whole.safetensors")
    train(whole)
    with monkeypatch.context() as patch:
        patch.setattr(at, interrupting_once(pkgutil.resolve_name(at)))
        with pytest.raises(KeyboardInterrupt):
            train(ready)
    assert checkpoint_of(ready.output).exists()
    assert not ready.output.exists()
    reports: list[TrainingReport] = []
    summary = train(dataclasses.replace(ready, resume=True), reports.append)
    assert [(report.step, report.losses, report.best) for report in reports] == [(3, {}, True)]
    assert summary.validation == reports[0].validation
    assert read_catalog(ready.output).recipe == read_catalog(whole.output).recipe
    for a, b in zip(tensors(load(str(ready.output))), tensors(load(str(whole.output))), strict=True):
        assert torch.equal(a, b)
    assert not checkpoint_of(ready.output).exists()


def test_the_checkpoint_stays_without_an_output(ready: TrainConfig) -> None:
    with pytest.raises(OutputError, match=r"mine\.safetensors: was removed .*--resume"):
        train(ready, lambda report: ready.output.unlink(missing_ok=True))
    assert train(dataclasses.replace(ready, resume=True)).steps == 3
    assert ready.output.exists()


def test_a_finished_run_knows_its_best_when_resumed(ready: TrainConfig) -> None:
    reports: list[TrainingReport] = []
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: reports.append(report) or stop_at(3, report))  # type: ignore[func-returns-value]
    summary = train(dataclasses.replace(ready, resume=True))
    assert summary.steps == 3
    assert summary.validation in [report.validation for report in reports if report.best]


@pytest.mark.parametrize("change", [{"compile": True}, {"validate_every": 1}])
def test_harmless_settings_may_change_on_resume(
    ready: TrainConfig, monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    monkeypatch.setattr("torch.compile", lambda function, **options: function)
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    assert train(dataclasses.replace(ready, resume=True, **change)).steps == 3  # type: ignore[arg-type]


def test_a_full_disk_is_an_error_of_the_output(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.train.checkpoint.write_atomically", full)
    with pytest.raises(OutputError, match=r"checkpoint cannot be written \(No space left"):
        train(ready)
    assert sorted(path.name for path in ready.output.parent.iterdir()) == ["mine.safetensors"]


def test_a_preview_that_cannot_be_written_costs_no_weights(ready: TrainConfig) -> None:
    def occupy(report: TrainingReport) -> None:
        preview_of(ready.output).mkdir(exist_ok=True)

    notes: list[str] = []
    assert train(ready, occupy, notify=notes.append).steps == 3
    assert load(str(ready.output)).metadata.name == "stripes"
    assert len(notes) == 1  # of two validations
    assert re.match(rf"{preview_of(ready.output)}: .*Is a directory.*; training continues without a preview$", notes[0])


def test_weights_and_checkpoints_are_synced_before_they_get_their_names(
    ready: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, renamed = list[tuple[int, int]](), dict[str, bool]()
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def record_rename(temporary: str, path: str) -> None:
        renamed[Path(path).name] = (os.stat(temporary).st_dev, os.stat(temporary).st_ino) in synced
        replace(temporary, path)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_rename)
    train(ready)
    assert renamed == {
        ready.output.name: True,
        checkpoint_of(ready.output).name: True,
        preview_of(ready.output).name: True,
    }


def test_a_second_training_of_the_same_output_is_refused(ready: TrainConfig) -> None:
    def second(report: TrainingReport) -> None:
        with pytest.raises(OutputError, match=rf"another training \(process {os.getpid()}\) is writing it"):
            train(dataclasses.replace(ready, overwrite=True))

    train(ready, second)
    assert sorted(path.name for path in ready.output.parent.iterdir()) == ["mine.preview.png", "mine.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_beside_the_output_are_not_written_through(ready: TrainConfig) -> None:
    precious = ready.output.parent / "precious"
    precious.write_text("precious")
    for name in (
        f".{ready.output.name}.part",
        f".{checkpoint_of(ready.output).name}.part",
        f".{preview_of(ready.output).name}.part",
    ):
        (ready.output.parent / name).symlink_to(precious)
    train(ready)
    assert precious.read_text() == "precious"
    (ready.output.parent / f".{ready.output.name}.lock").symlink_to(precious)
    with pytest.raises(OutputError, match="is a link"):
        train(dataclasses.replace(ready, overwrite=True))
    assert precious.read_text() == "precious"


def test_a_checkpoint_of_an_earlier_version_gets_one_line(ready: TrainConfig) -> None:
    torch.save({"config": {}, "step": 1, "network": {}}, checkpoint_of(ready.output))
    with pytest.raises(StyleError) as caught:
        train(dataclasses.replace(ready, resume=True))
    reason = "an earlier version wrote it, and this one cannot resume it"
    assert (
        str(caught.value)
        == f"{checkpoint_of(ready.output)}: cannot be resumed ({reason}); --overwrite starts from scratch"
    )


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"])
def test_resume_without_a_usable_checkpoint(ready: TrainConfig, content: bytes | None) -> None:
    if content is not None:
        checkpoint_of(ready.output).write_bytes(content)
    with pytest.raises((InputError, StyleError), match="checkpoint"):
        train(dataclasses.replace(ready, resume=True))


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_weights_does_not_run(ready: TrainConfig, tmp_path: Path, zipped: bool) -> None:
    malicious, proof = tmp_path / "evil.pth", tmp_path / "proof"
    if zipped:
        torch.save({"features.0.weight": Malice(proof)}, malicious)
    else:
        malicious.write_bytes(pickle.dumps(Malice(proof)))
    with pytest.raises(InputError, match=r"evil\.pth: not the weights") as caught:
        train(dataclasses.replace(ready, loss_weights=[malicious]))
    assert "\n" not in str(caught.value)
    assert not proof.exists()


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(2)}, [1, 2], torch.zeros(3), {}])
def test_weights_of_something_else_are_refused(ready: TrainConfig, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: not the weights"):
        train(dataclasses.replace(ready, loss_weights=[tmp_path / "other.pth"]))


def test_missing_weights_are_refused(ready: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pth"):
        train(dataclasses.replace(ready, loss_weights=[tmp_path / "missing.pth"]))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_a_style_image_of_any_mode_gets_a_result(ready: TrainConfig, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("painting.tif" if mode == "CMYK" else "painting.png")
    picture = Image.fromarray(stripes().permute(1, 2, 0).numpy())
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(path)
    train(dataclasses.replace(ready, paintings={"any": path}, steps=1, cards=None))
    assert load(str(ready.output)).metadata.name == "any"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (63, 500)])
def test_a_tiny_style_image_is_refused(ready: TrainConfig, tmp_path: Path, height: int, width: int) -> None:
    tiny = write(tmp_path / "tiny.png", stripes(height, width))
    with pytest.raises(InputError, match=rf"tiny\.png: {width}x{height} px is too small"):
        train(dataclasses.replace(ready, paintings={"tiny": tiny}))


def test_flat_images_do_not_diverge(ready: TrainConfig, tmp_path: Path) -> None:
    for photo in ready.content[0].iterdir():
        write(photo, torch.zeros(3, 70, 70, dtype=torch.uint8))
    black = write(tmp_path / "black.png", torch.zeros(3, 70, 70, dtype=torch.uint8))
    reports: list[TrainingReport] = []
    notes: list[str] = []
    train(dataclasses.replace(ready, paintings={"black": black}), reports.append, notify=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith(f"{black} has one color")
    assert all(value < 1e7 for report in reports for value in report.losses.values())


def test_content_that_is_not_enough(ready: TrainConfig, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"empty: .*no images and no clips"):
        train(dataclasses.replace(ready, content=[empty]))
    one = write(tmp_path / "one.png", photos(1)[0])
    with pytest.raises(InputError, match=r"one\.png: training needs at least 2"):
        train(dataclasses.replace(ready, content=[one]))
    with pytest.raises(InputError, match=r"missing: no such file or folder"):
        train(dataclasses.replace(ready, content=[tmp_path / "missing"]))


@pytest.fixture
def untrainable(config: TrainConfig) -> TrainConfig:
    """A configuration whose content is missing, which is found before training starts."""
    return dataclasses.replace(config, content=[Path("missing")])


def test_a_missing_output_folder_is_found_before_training(untrainable: TrainConfig) -> None:
    with pytest.raises(OutputError, match=r"mine\.safetensors: the folder .*out does not exist"):
        train(untrainable)


def test_an_output_that_is_a_folder_is_found_before_training(untrainable: TrainConfig) -> None:
    untrainable.output.mkdir(parents=True)
    with pytest.raises(OutputError, match="no file can be written"):
        train(dataclasses.replace(untrainable, overwrite=True))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ('{"stripes": 3}', "stripes"),
        ('{"stripes": {"mood": "calm"}}', "mood"),
        ('{"stripes": {"name": "other"}}', "name"),
        ('{"stripes": {"painting_px": "64"}}', "painting_px"),
        ('{"stripes": {"year": 1831}}', "year"),
        ('{"stripes": {"painter": null}}', "painter"),
        ('{"stripes": {"figures": [1]}}', "figures"),
        ('{"stripes": {"figures": {"score": "high"}}}', "figures"),
        ('{"stripes": {"figures": {"score": NaN}}}', "figures"),
    ],
)
def test_invalid_metadata_is_found_before_training(untrainable: TrainConfig, content: str, named: str) -> None:
    assert untrainable.cards is not None
    untrainable.output.parent.mkdir()
    untrainable.cards.write_text(content)
    with pytest.raises(InputError, match=rf"cards\.json: .*{named}"):
        train(untrainable)


def test_all_fields_of_the_metadata_reach_the_file(ready: TrainConfig) -> None:
    assert ready.cards is not None
    card = {"painting": "A", "painter": "B", "year": "1831", "status": "free", "licence": "MIT", "figures": {"n": 2}}
    ready.cards.write_text(json.dumps({"stripes": card, "unused": {}}))
    train(ready)
    written = dataclasses.asdict(read_catalog(ready.output).styles["stripes"])
    assert {key: written[key] for key in card if key != "figures"} | {"figures": {"n": 2}} == card
    assert written["figures"]["n"] == 2


def test_the_download_of_the_loss_network_is_announced(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    notes: list[str] = []
    with pytest.raises(InputError, match="no network"):
        train(dataclasses.replace(ready, loss_weights=()), notify=notes.append)
    assert notes == ["loading torchvision's VGG-19 (548 MB, downloaded once)"]


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision looks for a VGG-19 that it downloaded before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = tmp_path / "torch" / "hub" / "checkpoints" / VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    return file


@pytest.mark.parametrize("legacy", [True, False])
def test_the_default_loss_network_compares_all_that_training_weighs(
    ready: TrainConfig, downloaded: Path, legacy: bool
) -> None:
    """With the default weights; the style image has strokes of all sizes."""
    torch.save(torchvision_vgg19_state(), downloaded, _use_new_zipfile_serialization=not legacy)
    write(ready.paintings["stripes"], (blobs(1, 80, 96)[0] * 255).to(torch.uint8))
    reports: list[TrainingReport] = []
    config = dataclasses.replace(ready, loss_weights=())
    summary = train(config, reports.append)
    assert (summary.steps, summary.loss_networks) == (3, ["torchvision VGG-19"])
    weights = dataclasses.asdict(config.weights())
    assert [list(report.losses) for report in reports] == [list(weights)] * 3
    for report in reports:
        for name in ("style", "strokes", "structure", "content"):
            assert 0.01 < report.losses[name] / weights[name] < 10, (report.step, name)
        assert all(0 < loss < 300 for name, loss in report.losses.items() if weights[name])
    recipe = read_catalog(config.output).recipe
    assert recipe["loss_networks"][0]["file"] == "VGG19_Weights.IMAGENET1K_V1"


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\3\4", pickle.dumps({"fc.weight": 1})])
def test_a_damaged_download_is_named(ready: TrainConfig, downloaded: Path, content: bytes) -> None:
    downloaded.write_bytes(content)
    with pytest.raises(InputError, match=rf"{downloaded.name}: not the weights of VGG-19 .*; delete it") as caught:
        train(dataclasses.replace(ready, loss_weights=()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_downloaded_weights_does_not_run(
    ready: TrainConfig, downloaded: Path, tmp_path: Path, legacy: bool
) -> None:
    malice = {"features.0.weight": Malice(tmp_path / "proof")}
    torch.save(malice, downloaded, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError):
        train(dataclasses.replace(ready, loss_weights=()))
    assert not (tmp_path / "proof").exists()


def test_a_device_that_is_not_available(ready: TrainConfig) -> None:
    with pytest.raises(DeviceError, match="cuda:99"):
        train(dataclasses.replace(ready, device="cuda:99"))


def test_a_device_without_bicubic_sampling(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    grid_sample = torch.nn.functional.grid_sample
    failures = iter([True] * 2)

    def lacks(*args: Any, **options: Any) -> Tensor:
        if next(failures, False):
            raise NotImplementedError("no bicubic sampling\nand more")
        return grid_sample(*args, **options)

    monkeypatch.setattr("torch.nn.functional.grid_sample", lacks)
    with pytest.raises(DeviceError, match=r"cpu .* \(no bicubic sampling\); use --device cpu"):
        train(ready)
    notes: list[str] = []
    train(dataclasses.replace(ready, device="auto", steps=1), notify=notes.append)
    assert len(notes) == 1
    assert re.match(r"training on the CPU: \w+ .* \(no bicubic sampling\)$", notes[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paintings": {}}, "at least one style image"),
        ({"output": Path("a.pth")}, r"\.safetensors"),
        ({"painting_px": 63}, "painting px"),
        ({"device": "nonsense"}, "device must be"),
        ({"stroke_size": 0.0}, "stroke size"),
        ({"stroke_size": float("nan")}, "stroke size"),
        ({"stroke_size": 0.5}, "stroke size must be from 1 to 25"),
        ({"paintings": {"": Path("a.png")}}, "cannot be the name"),
        ({"paintings": {"a#b": Path("a.png")}}, "cannot be the name"),
    ],
)
def test_impossible_requests_are_refused(config: TrainConfig, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)  # type: ignore[arg-type]


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard error of ``flowbrush train`` in this process."""
    result = CliRunner().invoke(cli.app, ["train", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def options(ready: TrainConfig) -> list[str | Path]:
    weights = ready.loss_weights[0]
    tiny = ["--crop-px", "64", "--painting-px", "64", "--batch", "1", "--no-compile", "--from-scratch"]
    return ["--output", ready.output, "--loss-weights", weights, "--device", "cpu", *tiny]


def test_the_command_trains_a_style_and_prints_how_to_try_it(ready: TrainConfig, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "my clip.mp4", Clip(width=96, height=72))
    painting = ready.paintings["stripes"].rename(tmp_path / "My #1 Paint_ing.png")
    code, said = run(painting, "--content", clip, *options(ready), "--steps", "2", "--preview-every", "1")
    assert code == 0
    assert "training on 15 images, and on 15 pairs" in said
    assert "50%  step 1  validation: style" in said
    assert re.search(r"mine\.safetensors: 2 steps in 0\.\d minutes, judged by normalised VGG-19; see .*preview", said)
    last = said.splitlines()[-1]
    assert last == f"Try it: flowbrush video '{clip}' stylized.mp4 --style {ready.output}"
    assert load(str(ready.output)).metadata.name == "my-1-paint-ing"


def test_two_style_images_have_different_names(ready: TrainConfig) -> None:
    painting, folder = ready.paintings["stripes"], ready.content[0]
    code, said = run(painting, f"b={painting}", "--content", folder, *options(ready), "--steps", "2")
    assert code == 0
    assert said.splitlines()[-1].endswith(f"stylized.mp4 --style '{ready.output}#stripes'")
    assert list(read_catalog(ready.output).styles) == ["stripes", "b"]


def test_the_command_prints_why_it_ended(ready: TrainConfig) -> None:
    arguments = (ready.paintings["stripes"], "--content", ready.content[0], *options(ready), "--minutes", "0.0001")
    code, said = run(*arguments)
    assert code == 0
    assert "2 steps in 0.0 minutes (the time is used up; --minutes gives more)" in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["stripes.png", "x/stripes.jpg"], "two style images are named 'stripes'; write NAME=FILE"),
        (["=stripes.png"], "'' cannot be the name of a style"),
        (["stripes.png", "--minutes", "0"], "minutes must be above 0"),
        (["stripes.png", "--steps", "0"], "steps must be at least 1"),
        (["stripes.png", "--stroke-size", "100"], "stroke size must be from"),
        (["stripes.png", "--start", "a.safetensors"], "--start and --from-scratch exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(config: TrainConfig, wrong: list[str], message: str) -> None:
    code, said = run(*wrong, *options(config))
    assert code == 2
    assert said.startswith(f"flowbrush: {message}")
    assert said.count("\n") == 1


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a=b.png"
    file.touch()
    assert read_paintings([str(file)]) == {"a-b": file}
    assert read_paintings(["c=d.png"]) == {"c": Path("d.png")}
