"""The recipe of the bundle: images are found or drawn, what is complete is kept, what was interrupted goes on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.drawings.comic import comic
from benchmarks.drawings.mosaic import mosaic
from benchmarks.train_gallery import CARDS, DRAWINGS, GalleryError, find_image, train
from models.registry import bundled
from pipeline.media.stills import write_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would run; each succeeds."""
    found: list[list[str]] = []

    def run(command: list[str], **settings: Any) -> Any:
        found.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("benchmarks.train_gallery.subprocess.run", run)
    return found


def test_what_is_complete_is_not_trained_and_what_was_interrupted_goes_on(
    tmp_path: Path, calls: list[list[str]]
) -> None:
    output = tmp_path / "sea.safetensors"
    images = {"sea": tmp_path / "sea.jpg"}
    train(images, output, ["--steps", "3"])
    assert calls[-1][-3:] == ["--steps", "3", "--overwrite"]
    output.write_bytes(b"weights")
    train(images, output, [])
    assert len(calls) == 1
    train(images, output, [], again=True)
    assert calls[-1][-1] == "--overwrite"
    output.with_suffix(".checkpoint").write_bytes(b"state")
    train(images, output, [])
    assert calls[-1][-1] == "--resume"
    assert f"sea={images['sea']}" in calls[-1]


@pytest.mark.parametrize(("code", "error"), [(5, GalleryError), (130, KeyboardInterrupt)])
def test_a_training_that_fails_or_is_stopped_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[BaseException]
) -> None:
    monkeypatch.setattr("benchmarks.train_gallery.ROOT", tmp_path)
    (tmp_path / "cli.py").write_text(f"raise SystemExit({code})")
    with pytest.raises(error):
        train({"sea": tmp_path / "sea.jpg"}, tmp_path / "sea.safetensors", [])


def test_images_are_found_by_the_name_of_the_style_or_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRAWINGS, "woodcut", lambda: np.full((70, 80, 3), 9, np.uint8))
    write_image(tmp_path / "sea.png", np.zeros((70, 80, 3), np.uint8))
    (tmp_path / "sea.txt").write_text("notes")
    assert find_image("sea", tmp_path, tmp_path) == tmp_path / "sea.png"
    with pytest.raises(GalleryError, match=r"contains no image hay\.jpg; see `source`"):
        find_image("hay", tmp_path, tmp_path)
    assert find_image("woodcut", tmp_path / "nowhere", tmp_path) == tmp_path / "woodcut.png"


def test_every_bundled_style_has_an_entry_and_every_drawing_too() -> None:
    known = json.loads(CARDS.read_text(encoding="utf-8"))
    assert set(bundled()) | set(DRAWINGS) <= set(known)


def test_the_drawings_have_ink_color_and_paper() -> None:
    for picture in (mosaic(finer=1), comic(finer=1)):
        assert picture.shape == (900, 1200, 3)
        assert picture.dtype == np.uint8
        dark = (picture.max(axis=2) < 60).mean()
        assert 0.03 < dark < 0.4
        assert (np.ptp(picture, axis=2) > 100).mean() > 0.15


def test_a_style_is_trained_into_the_bundle_in_one_command_and_again(
    tmp_path: Path, photos_and_loss: list[str]
) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "train_gallery.py"), *photos_and_loss]
    command += ["--styles", "mosaic", "--steps", "2", "--work", str(tmp_path / "work"), "--into", str(tmp_path)]
    command += ["--crop-px", "64", "--batch", "1", "--no-compile", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first = (tmp_path / "mosaic.safetensors").read_bytes()
    assert first == (tmp_path / "work" / "mosaic.safetensors").read_bytes()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "flowbrush train" not in again.stdout
    assert (tmp_path / "mosaic.safetensors").read_bytes() == first


@pytest.fixture
def photos_and_loss(tmp_path: Path) -> list[str]:
    """Options: a folder of small photos, and a loss network with random weights."""
    import torch

    from tests.support.tiny import loss_state, photos

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(photos(4, height=140, width=150)):
        write_image(folder / f"{number}.png", photo.permute(1, 2, 0).contiguous().numpy())
    torch.save(loss_state(), tmp_path / "loss.pth")
    return ["--photos", str(folder), "--loss-weights", str(tmp_path / "loss.pth")]


def test_photos_and_images_are_read_without_pyav(photos_and_loss: list[str]) -> None:
    folder = photos_and_loss[1]
    code = f"""
import sys
from pathlib import Path
sys.modules["av"] = None
import pipeline.train.train
from pipeline.train.data import read_content
from pipeline.train.style_images import read_style_image
content = read_content([Path({folder!r})], crop_px=64, seed=0, make_estimator=None, notify=print)
print(len(content.photos), len(read_style_image(Path({folder!r}, "0.png"))))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "4 1\n", done.stderr
