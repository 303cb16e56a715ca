"""The folder of compiled code: used if it is private, and not needed by the engine eager."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.engines.capabilities import available_engines
from pipeline.errors import DeviceError
from pipeline.stylize.device import find_device
from pipeline.stylize.stylizer import Stylizer
from tests.support.live import PLAIN
from tests.support.media import Clip, make_clip

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs owners and permissions")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache that others can write to."""
    folder = tmp_path / "planted"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("engine", ["compile", "openvino"])
def test_a_cache_that_others_can_write_to_is_refused(planted: Path, engine: str) -> None:
    with pytest.raises(DeviceError, match=r"planted: others can write to it; remove it, .* FLOWBRUSH_CACHE"):
        Stylizer(replace(PLAIN, engine=engine), height=16, width=16)
    assert not os.listdir(planted)


def test_eager_needs_no_cache(planted: Path) -> None:
    assert Stylizer(PLAIN, height=16, width=16).engine == "eager"


@pytest.mark.skipif(len(available_engines(find_device("cpu"))) == 1, reason="eager is the only engine")
def test_without_a_private_cache_auto_is_eager_and_says_why(planted: Path) -> None:
    lines = list[str]()
    stylizer = Stylizer(replace(PLAIN, engine="auto"), height=16, width=16, notify=lines.append)
    assert stylizer.engine == "eager"
    assert "others can write to it" in lines[0]
    assert not os.listdir(planted)


@pytest.mark.skipif(not hasattr(os, "setresuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_without_a_home_can_stylize_with_eager(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 3, 512)))
    code = "import os, sys; os.setresuid(54321, 0, 0); import cli; sys.argv[0] = 'flowbrush'; cli.main()"
    options = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "none"]
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "FLOWBRUSH_CACHE")}
    command = [sys.executable, "-c", code, "video", str(source), str(tmp_path / "out.mp4"), *options]
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, (tmp_path / "out.mp4").exists()) == (0, True), done.stderr
