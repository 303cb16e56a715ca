"""The process of a job, and what it says."""

import time
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from pipeline.studio.config import StudioConfig
from pipeline.studio.pictures.styles import PictureStyles
from pipeline.studio.render.processes.parent import Parent
from pipeline.studio.render.processes.render import Report
from pipeline.studio.render.renderer import Renderer
from pipeline.studio.render.space import Space
from pipeline.studio.render.stills import Stills
from tests.studio.render.test_jobs import job_of

CHATTY = """
import json, time
print(json.dumps({"frames": 1, "total": 2, "fps": 3.0}), flush=True)
time.sleep(60)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "chatty.py").write_text(CHATTY)
    monkeypatch.syspath_prepend(tmp_path)
    return "chatty"


def no_pictures(folder: Path) -> PictureStyles:
    return PictureStyles(folder, Space(folder, 2**20), Stills("cpu"))


def test_an_error_in_the_studio_leaves_no_process(tmp_path: Path, module: str) -> None:
    """Otherwise it would go on beside that of the next job."""

    def follow(job: object, message: object) -> None:
        raise KeyError("total")

    renderer = Renderer(
        StudioConfig(), Space(tmp_path, 2**20), no_pictures(tmp_path), lambda job: True, follow, module=module
    )
    with pytest.raises(KeyError):
        renderer.render(job_of(1), tmp_path / "result.mp4")
    assert not [each for each in psutil.Process().children() if "chatty" in " ".join(each.cmdline())]


def test_a_job_that_is_cancelled_has_no_last_message(tmp_path: Path, module: str) -> None:
    wanted, messages = [True], []

    def follow(job: Any, message: Any) -> None:
        messages.append(message)
        wanted.clear()
        renderer.kill("another job")
        renderer.kill(job.job)

    renderer = Renderer(
        StudioConfig(), Space(tmp_path, 2**20), no_pictures(tmp_path), lambda job: bool(wanted), follow, module=module
    )
    start = time.monotonic()
    assert renderer.render(job_of(1), tmp_path / "result.mp4") == {}
    assert time.monotonic() - start < 50, "killed, not waited for"
    assert messages == [{"frames": 1, "total": 2, "fps": 3.0}]
    assert renderer.render(job_of(1), tmp_path / "result.mp4") == {}, "nothing is started for it"
    assert len(messages) == 1


@pytest.mark.parametrize("line", ["[]", '{"bytes": []}', '{"bytes": -1}', "[" * 9000, "\\xff"])
def test_a_process_that_says_nonsense_is_one_that_died(tmp_path: Path, module: str, line: str) -> None:
    (tmp_path / "chatty.py").write_text(f"print({line!r}, flush=True)\nimport time\ntime.sleep(60)")
    renderer = Renderer(
        StudioConfig(), Space(tmp_path, 2**20), no_pictures(tmp_path), lambda job: True, lambda *_: None, module=module
    )
    end = renderer.render(job_of(1), tmp_path / "result.mp4")
    assert "ended unexpectedly" in end["error"]


def test_what_a_render_says_names_no_path_of_this_machine() -> None:
    sent: list[dict[str, object]] = []

    class Listening:
        def send(self, message: dict[str, object]) -> None:
            sent.append(message)

    order: dict[str, Any] = {
        "source": "/home/me/uploads/1/clip.mp4",
        "target": "/home/me/jobs/2/result.mkv",
        "name": "holiday.mp4",
        "files": {"picture-3": "/home/me/picture-styles/3/style.safetensors"},
    }
    report = Report(cast("Parent", Listening()), order)
    report.note("the manifest in /home/me/jobs/2/result.mkv.flowbrush is unusable: starting from scratch")
    report.fail("/home/me/uploads/1/clip.mp4: there is no such file")
    report.fail("/home/me/picture-styles/3/style.safetensors: damaged metadata")
    assert sent == [
        {"notice": "the manifest in the result.flowbrush is unusable: starting from scratch"},
        {"error": "holiday.mp4: there is no such file"},
        {"error": "the style of the picture: damaged metadata"},
    ]
