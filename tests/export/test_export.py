"""`flowbrush export`, in this process, with a tiny network."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cli
from models.export.style_graph import INPUTS
from models.registry import LoadedStyle
from tests.support.commands import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(cli.__file__).parent

pytestmark = pytest.mark.usefixtures("one_thread")


def stylized(path: Path, frame: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    past = np.zeros(session.get_inputs()[1].shape, np.float32)
    scalars = [np.array(value, np.float32) for value in (0, 1, 0)]
    return session.run(["stylized"], dict(zip(INPUTS, (frame, past, *scalars), strict=True)))[0]


def run_example_of_the_docs(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the Python example of docs/export.md with ``model`` in place of the style that it names, on three frames."""
    (example,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    shutil.copy(model, folder / "great-wave.onnx")
    noise = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    for name in "123":
        Image.fromarray(noise).save(folder / f"{name}.png")
    monkeypatch.chdir(folder)
    exec(compile(example, "docs/export.md", "exec"), {})
    first, second, third = (np.asarray(Image.open(folder / f"stylized-{name}.png")).astype(int) for name in "123")
    assert np.abs(first - stylized(model, noise)).max() == 0
    assert np.abs(first - second).max() <= 1, "the same frame has the same statistics"
    assert np.abs(first - third).max() <= 1


def test_a_style_becomes_a_file_that_another_program_runs(
    tmp_path: Path, tiny_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny.onnx"
    code, _, said = run("export", target, "--style", tiny_style)
    assert code == 0, said
    assert "any size, fp32" in said
    assert "differs from PyTorch by" in said
    assert "(allowed: 1 of 255 levels" in said
    for height, width in ((64, 80), (31, 18)):
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        result = stylized(target, frame)
        assert result.shape == frame.shape
        assert np.abs(result.astype(int) - frame).mean() > 5
    facts = {each.key: each.value for each in onnx.load(target).metadata_props}
    assert facts["name"] == "tiny"
    assert facts["comment"] == "painted by flowbrush in the style tiny"
    assert facts["precision"] == "fp32"
    assert (float(facts["past_weight"]), float(facts["memory"])) == (0.3, 0.8)

    run_example_of_the_docs(tmp_path, target, monkeypatch)
    before = target.read_bytes()
    code, _, said = run("export", target, "--style", tiny_style)
    assert (code, target.read_bytes()) == (4, before)
    assert "--overwrite" in said


def test_the_result_as_json(tmp_path: Path, tiny_style: Path) -> None:
    target = tmp_path / "tiny.onnx"
    options = ("--height", 32, "--width", 48, "--precision", "fp16", "--json")
    code, printed, said = run("export", target, "--style", tiny_style, *map(str, options))
    assert code == 0, said
    result = json.loads(printed)
    assert (result["style"], result["size"], result["precision"]) == ("tiny", [32, 48], "fp16")
    assert result["bytes"] == target.stat().st_size
    assert 0 <= result["difference"]["levels"] <= result["tolerance"]["levels"]


def test_a_file_that_differs_from_pytorch_is_not_written(
    tmp_path: Path, tiny_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.export import onnx_model

    def make_wrong(style: LoadedStyle, *settings: Any) -> bytes:
        return make(replace(style, style=style.network.initial_style()), *settings)

    make = onnx_model.to_onnx
    monkeypatch.setattr(onnx_model, "to_onnx", make_wrong)
    target = tmp_path / "tiny.onnx"
    code, _, said = run("export", target, "--style", tiny_style, "--height", "32", "--width", "48")
    assert code == 4
    assert "onnxruntime computes something else than PyTorch" in said
    assert not list(tmp_path.glob("*.onnx*"))
    assert not list(tmp_path.glob(".flowbrush*"))


def test_a_file_that_onnxruntime_cannot_run_is_not_written(
    tmp_path: Path, tiny_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.export.onnx_model.to_onnx", lambda *settings: b"no graph")
    target = tmp_path / "tiny.onnx"
    code, _, said = run("export", target, "--style", tiny_style)
    assert (code, target.exists()) == (4, False)
    assert "onnxruntime cannot run it" in said
    assert said.count("\n") == 1


def test_what_cannot_work_is_said_first(tmp_path: Path, tiny_style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "tiny.onnx"
    for options, code, words in (
        (("--height", "64"), 2, "--height and --width belong together"),
        (("--height", "8", "--width", "8"), 2, "height must be between 16 and 16384 pixels"),
        (("--format", "tflite"), 2, "format must be one of onnx"),
    ):
        found, _, said = run("export", target, "--style", tiny_style, *options)
        assert found == code
        assert words in said
    assert run("export", tmp_path / "tiny.pt", "--style", tiny_style)[0] == 2
    assert run("export", target, "--style", "nobody")[0] == 5
    assert run("export", tmp_path / "no" / "tiny.onnx", "--style", tiny_style)[0] == 4
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    code, _, said = run("export", target, "--style", tiny_style)
    assert code == 1
    assert "export needs onnxscript; pip install 'flowbrush[onnx]'" in said
    assert not target.exists()
