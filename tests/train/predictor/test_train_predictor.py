"""From folders of pictures to a file that turns a picture into a style, with tiny networks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import cli
from models.predictor.encoder import PictureEncoder
from models.predictor.file import load
from models.training.report import TrainingReport
from pipeline.errors import InputError, OutputError, StyleError
from pipeline.train.predictor.config import PredictorTrainConfig
from pipeline.train.predictor.train import train_predictor
from pipeline.train.shared_options import checkpoint_of
from tests.support.networks.training import write, write_training_files
from tests.support.tiny import blobs, photos, stripes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_training_files(tmp_path)
    (tmp_path / "paintings").mkdir()
    for index, picture in enumerate([stripes(), *photos(3)]):
        write(tmp_path / "paintings" / f"{index}.png", picture)
    torch.save(
        {name.removeprefix("layers."): tensor for name, tensor in PictureEncoder().state_dict().items()},
        tmp_path / "encoder.pth",
    )
    return tmp_path


def config(folder: Path, **changes: Any) -> PredictorTrainConfig:
    settings: dict[str, Any] = {
        "pictures": [folder / "paintings"],
        "content": [folder / "content"],
        "output": folder / "any.safetensors",
        "encoder": folder / "encoder.pth",
        "loss_weights": [folder / "loss.pth"],
        "steps": 2,
        "styles": 1,
        "crop_px": 64,
        "picture_px": 64,
        "drawings": 1,
        "described": 3,
        "validate_every": 1,
        "device": "cpu",
        "compile": False,
    }
    return PredictorTrainConfig(**settings | changes)


def test_a_trained_predictor_turns_a_picture_into_a_style(folder: Path) -> None:
    reports: list[TrainingReport] = []
    summary = train_predictor(config(folder), reports.append)
    assert (summary.steps, summary.ended, len(reports)) == (2, "steps", 2)
    loaded = load(summary.output)
    assert loaded.recipe["pictures"]["held out"] == 1
    assert loaded.recipe["steps_run"] in (1, 2)
    style = loaded.predictor.predict(blobs(1, 64, 64), name="blobs")
    image, _ = style.network(blobs(1, 32, 48), style.style)
    assert image.shape == (1, 3, 32, 48)
    assert sorted(path.name for path in folder.glob("any.*")) == ["any.preview.png", "any.safetensors"]

    again = train_predictor(
        config(folder, start=summary.output, encoder=None, output=folder / "more.safetensors", steps=1)
    )
    assert again.steps == 1


def test_an_interrupted_run_resumes(folder: Path) -> None:
    def stop(report: TrainingReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_predictor(config(folder), stop)
    with pytest.raises(StyleError, match=r"other settings: styles 1 -> 2"):
        train_predictor(config(folder, resume=True, styles=2))
    summary = train_predictor(config(folder, resume=True))
    assert summary.steps == 2
    assert not checkpoint_of(config(folder).output).exists()


def test_named_pictures_are_held_out(folder: Path) -> None:
    table = folder / "held_out.tsv"
    table.write_text("0.png\tA. Painter\n2.png\tB. Painter\n")
    notes: list[str] = []
    train_predictor(config(folder, held_out=table, steps=1), notify=notes.append)
    assert "2 pictures to learn from, 2 held out" in notes
    table.write_text("other.png\n")
    with pytest.raises(InputError, match="names none of the pictures"):
        train_predictor(config(folder, held_out=table, overwrite=True))


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="give --encoder"):
        config(folder, encoder=None)
    with pytest.raises(InputError, match=r"loss\.pth: not the weights of the encoder"):
        train_predictor(config(folder, encoder=folder / "loss.pth"))
    with pytest.raises(InputError, match="no such file or folder"):
        train_predictor(config(folder, pictures=[folder / "absent"]))
    (folder / "any.safetensors").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        train_predictor(config(folder))
    with pytest.raises(StyleError, match="not the weights of a predictor"):
        train_predictor(config(folder, start=folder / "any.safetensors", encoder=None, output=folder / "b.safetensors"))


def test_the_command(folder: Path) -> None:
    options = ["--content", str(folder / "content"), "--loss-weights", str(folder / "loss.pth"), "--no-compile"]
    options += ["--encoder", str(folder / "encoder.pth"), "--crop-px", "64", "--picture-px", "64", "--drawings", "1"]
    output = folder / "any.safetensors"
    command = ["train-predictor", str(folder / "paintings"), "--output", str(output), "--steps", "1", *options]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert f"{output}: 1 steps in" in result.output.replace("\n", "")
    result = CliRunner().invoke(cli.app, [*command[:-2], "--crop-px", "63", "--overwrite"])
    assert result.exit_code == 2
