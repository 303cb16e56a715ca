"""Checkpoints: they hold tensors and plain values, and what was made to do harm does none."""

import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from models.training.report import TrainingReport
from models.weight_file import LARGEST_FILE_BYTES
from pipeline.errors import StyleError
from pipeline.train.checkpoint import read_checkpoint, restore, write_checkpoint
from pipeline.train.config import TrainConfig
from pipeline.train.setup import build_trainer
from pipeline.train.shared_options import checkpoint_of
from pipeline.train.style_metadata import metadata_of
from pipeline.train.train import train
from tests.support.memory import MEBIBYTE, growth
from tests.support.networks.training import training_config, write_training_files

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(30)]


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.checkpoint")
    with pytest.raises(StyleError, match=r"mine\.checkpoint: cannot be resumed \(it is not a regular file\)"):
        read_checkpoint(tmp_path / "mine.checkpoint")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems measure memory in other units")
def test_a_compressed_archive_fills_no_memory(tmp_path: Path) -> None:
    """A checkpoint of PyTorch whose 300 MB of zeros take 300 KB."""
    torch.save({"config": {}, "bomb": torch.zeros(4)}, tmp_path / "small")
    size = 300 * 10**6
    with zipfile.ZipFile(tmp_path / "small") as small, zipfile.ZipFile(tmp_path / "mine.checkpoint", "w", 8) as bomb:
        for name in small.namelist():
            content = [small.read(name)]
            if name.endswith("data/0"):
                content = [bytes(10**6)] * (size // 10**6)
            elif name.endswith("data.pkl"):  # where 4 is the number of elements
                content = [content[0].replace(b"K\x04", b"J" + (size // 4).to_bytes(4, "little"))]
            with bomb.open(name, "w") as file:
                file.writelines(content)

    def read() -> None:
        with pytest.raises(StyleError, match="cannot be resumed"):
            read_checkpoint(tmp_path / "mine.checkpoint")

    assert growth(read) < 50 * MEBIBYTE


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that was interrupted after its first validation."""
    folder = tmp_path_factory.mktemp("train")
    write_training_files(folder)
    config = training_config(folder, folder / "mine.safetensors")

    def interrupt(report: TrainingReport) -> None:
        if report.validation is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt)
    return config


def changed(
    config: TrainConfig,
    change: Callable[[dict[str, Any], dict[str, Any]], object],
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Return the content of the checkpoint with other values and tensors."""
    content = checkpoint_of(config.output).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    values, tensors = json.loads(header["state"]), {name: tensor.copy() for name, tensor in load(content).items()}
    change(values, tensors)
    return save(tensors, header | {"state": json.dumps(values)} | dict(metadata))


def test_a_checkpoint_is_restored_as_it_was_written(interrupted: TrainConfig, tmp_path: Path) -> None:
    trainer, recipe = build_trainer(interrupted, metadata_of(interrupted), print)
    state = read_checkpoint(checkpoint_of(interrupted.output))
    assert {name.partition(".")[0] for name in state["tensors"]} == {"bank", "optimizer", "generator"}
    restore(trainer, recipe, state, checkpoint_of(interrupted.output))
    write_checkpoint(trainer, recipe, tmp_path / "again.checkpoint")
    again = read_checkpoint(tmp_path / "again.checkpoint")
    before, after = state.pop("tensors"), again.pop("tensors")
    assert again == state
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "no tensors": lambda values, tensors: tensors.clear(),
    "no moment": lambda values, tensors: tensors.pop("optimizer.0.exp_avg"),
    "no schedule": lambda values, tensors: values.pop("schedule"),
    "a moment of another shape": lambda values, tensors: tensors.update({"optimizer.0.exp_avg": np.zeros((1, 1))}),
    "a moment of no parameter": lambda values, tensors: tensors.update({"optimizer.99999.step": np.zeros(())}),
    "an unknown moment": lambda values, tensors: tensors.update({"optimizer.0.lr": np.zeros(())}),
    "a moment without a number": lambda values, tensors: tensors.update({"optimizer.a.step": np.zeros(())}),
    "a generator of zeros": lambda values, tensors: tensors.update({"generator": np.zeros(3, np.uint8)}),
    "text instead of a step": lambda values, tensors: values.update(step="1"),
    "text instead of settings": lambda values, tensors: values.update(config="steps"),
    "text in the settings": lambda values, tensors: values["config"].update(steps="3"),
    "an unknown setting": lambda values, tensors: values["config"].update(mood="calm"),
    "a setting that is no number": lambda values, tensors: values["config"].update(minutes=float("nan")),
    "a setting that is true": lambda values, tensors: values["config"].update(plateau=True),
    "part of a step": lambda values, tensors: values.update(step=0.5),
    "a step after the last": lambda values, tensors: values.update(step=4),
    "a step before the first": lambda values, tensors: values.update(step=-1),
    "a time before the start": lambda values, tensors: values["schedule"].update(elapsed=-1e12),
    "text instead of a time": lambda values, tensors: values["schedule"].update(elapsed="x"),
    "a time that is no number": lambda values, tensors: values["schedule"].update(elapsed=float("nan")),
    "a time without an end": lambda values, tensors: values["schedule"].update(elapsed=float("inf")),
    "progress beyond the end": lambda values, tensors: values["schedule"].update(progress=1.5),
    "an early end of text": lambda values, tensors: values["schedule"].update(finish="ab"),
    "an early end to come": lambda values, tensors: values["schedule"].update(finish=[3, 0.5]),
    "a schedule of text": lambda values, tensors: values.update(schedule="x"),
    "losses of text": lambda values, tensors: values.update(best="x"),
    "a loss of text": lambda values, tensors: values["best"].update(style="x"),
    "a loss that is no number": lambda values, tensors: values["best"].update(style=float("nan")),
    "a loss with a name for the terminal": lambda values, tensors: values["best"].update({"\33[2J": 0.0}),
    "losses of another sum": lambda values, tensors: values.update(best_loss=0.0),
    "a best loss of text": lambda values, tensors: values.update(best_loss="x"),
    "a reference that is no number": lambda values, tensors: values.update(reference=float("nan")),
    "text instead of a count": lambda values, tensors: values.update(worse="x"),
    "a count below zero": lambda values, tensors: values.update(stale=-(10**9)),
    "a validation to come": lambda values, tensors: values.update(validated=3),
    "no history": lambda values, tensors: [values.pop(name) for name in ("best", "best_loss", "worse")],
    "weights that are no numbers": lambda values, tensors: tensors[WEIGHT].fill(float("nan")),
    "whole numbers as weights": lambda values, tensors: tensors.update({WEIGHT: tensors[WEIGHT].astype(np.int32)}),
    "a moment below zero": lambda values, tensors: tensors["optimizer.0.exp_avg_sq"].fill(-1),
    "a moment before its first step": lambda values, tensors: tensors["optimizer.0.step"].fill(0),
}
WEIGHT = "bank.convolutions.0"


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_checkpoint_that_does_not_fit_is_one_line(interrupted: TrainConfig, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.checkpoint"
    path.write_bytes(changed(interrupted, HOSTILE[kind]))
    trainer, recipe = build_trainer(interrupted, metadata_of(interrupted), print)
    with pytest.raises(StyleError, match=r"mine\.checkpoint: cannot be resumed \([^\n]+\); --overwrite") as caught:
        restore(trainer, recipe, read_checkpoint(path), path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({}, "comes from a run with other start, paintings, painting_px, weights, content, "),
        ({"start": "", "mood": "calm"}, "comes from a run with other paintings, "),
        ([], "its recipe is missing"),
        (None, "its recipe is missing"),
    ],
)
def test_a_checkpoint_that_does_not_say_what_it_was_made_from_is_refused(
    interrupted: TrainConfig, tmp_path: Path, recipe: object, named: str
) -> None:
    path = tmp_path / "mine.checkpoint"
    path.write_bytes(changed(interrupted, lambda values, tensors: None, {"recipe": json.dumps(recipe)}))
    trainer, expected = build_trainer(interrupted, metadata_of(interrupted), print)
    with pytest.raises(StyleError, match=rf"mine\.checkpoint: cannot be resumed \([^\n]*{named}[^\n]*\); --overwrite"):
        restore(trainer, expected, read_checkpoint(path), path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", (2**62).to_bytes(8, "little") + b"{}", (40).to_bytes(8, "little") + b"[" * 40]
)
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.checkpoint").write_bytes(content)
    with pytest.raises(StyleError, match="not a checkpoint, or damaged: "):
        read_checkpoint(tmp_path / "mine.checkpoint")


def test_a_checkpoint_of_absurd_size_is_not_read(interrupted: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "mine.checkpoint").write_bytes(checkpoint_of(interrupted.output).read_bytes())
    os.truncate(tmp_path / "mine.checkpoint", LARGEST_FILE_BYTES + 1)
    with pytest.raises(StyleError, match="not a checkpoint, or damaged: not a safetensors file"):
        read_checkpoint(tmp_path / "mine.checkpoint")
