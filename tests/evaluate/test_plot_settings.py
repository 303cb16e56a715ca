"""Settings of matplotlib in the working folder, which may be somebody else's, do not count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRAW = "from pipeline.evaluate.plot import draw_plot; print(draw_plot([]).shape)"


def test_settings_in_the_working_folder_do_not_count(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    # LaTeX would run the preamble.
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\ntext.latex.preamble: \\input{/etc/passwd}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", DRAW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout == "(480, 1200, 3)\n", done.stderr
