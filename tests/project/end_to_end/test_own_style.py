import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.drawings.woodcut import HEIGHT, INK, PAPER, WIDTH, woodcut
from tests.support.media import Clip, make_clip
from tests.support.tiny import loss_state, stripes

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def test_the_woodcut_is_black_on_paper_with_color() -> None:
    picture = woodcut(finer=1)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    for color, least, most in ((INK, 0.15, 0.6), (PAPER, 0.15, 0.6)):
        assert least < (np.abs(picture.astype(int) - color).max(axis=2) < 8).mean() < most
    assert (picture[..., 0].astype(int) - picture[..., 2] > 90).mean() > 0.08


def test_own_style_trains_stylizes_and_measures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=72, pts=tuple(range(0, 512 * 12, 512))))
    torch.save(loss_state(), tmp_path / "loss.pth")
    Image.fromarray(stripes().permute(1, 2, 0).numpy()).save(tmp_path / "stripes.png")
    files = ["--painting", tmp_path / "stripes.png", "--content", clip, "--engine", "eager"]
    files += ["--loss-weights", tmp_path / "loss.pth", "--sheet", tmp_path / "sheet.png"]
    tiny = ["--steps", "2", "--batch", "1", "--crop-px", "64", "--painting-px", "64", "--no-compile"]
    command = [sys.executable, BENCHMARKS / "own_style.py", "--variants", "with-content", *files, *tiny]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = {
        line.split()[1]: line.split()[2] for line in done.stdout.splitlines() if line.startswith("with-content ")
    }
    assert figures["steps"] == "2"
    assert 0 < float(figures["seconds"]) < 600
    assert float(figures["e_stab"]) > 0
    assert float(figures["style"]) > 0
    assert "MET: with-content: " in done.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[1] > 3 * 200
