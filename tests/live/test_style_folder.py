"""Pictures that appear in a folder become styles of the running session."""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.config.style_spec import Dials
from pipeline.errors import InputError, StyleError
from pipeline.live.controls import Controls
from pipeline.live.session import LiveSession
from pipeline.live.style_folder import StyleFolder
from pipeline.live.stylize.style_mixer import load_style_mixer
from pipeline.stylize.picture_style import predict_style
from tests.support.live import FakeCamera, Memory, plain_config, wait_for
from tests.support.networks.pictures import write_picture

pytestmark = pytest.mark.usefixtures("one_thread", "any_picture")


class Session:
    """A session that watches a folder, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.controls, self.memory, self.lines = Controls(["great-wave"]), Memory(), list[str]()
        config = plain_config(style_folder=folder, fps_target=240.0)
        camera = FakeCamera(fps=60)
        self._session = LiveSession(config, [self.memory], self.controls, self.lines.append, device=camera)
        self._thread = threading.Thread(target=self._session.run)

    def __enter__(self) -> "Session":
        self._thread.start()
        wait_for(lambda: self.memory.frames)
        return self

    def __exit__(self, *_: object) -> None:
        self.controls.quit()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert "style-folder" not in {thread.name for thread in threading.enumerate()}

    def pixels(self) -> np.ndarray:
        assert self.memory.last is not None
        return self.memory.last.pixels.astype(int)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "art").mkdir()
    return tmp_path / "art"


def test_new_pictures_are_shown_and_old_ones_can_be_chosen(folder: Path) -> None:
    old = write_picture(folder / "old.png")
    with Session(folder) as session:
        wait_for(lambda: len(session.controls.names) == 2)
        assert session.controls.snapshot().style == 0, "it was there before"
        before = session.pixels()
        new = write_picture(folder / "new.png", seed=1)
        wait_for(lambda: session.controls.snapshot().weights == (0.0, 0.0, 1.0))
        assert session.controls.names == ("great-wave", str(old), str(new))
        assert session.controls.message == "new style: new.png"
        wait_for(lambda: np.abs(session.pixels() - before).mean() > 3)
        os.utime(write_picture(folder / "new.png", seed=2), ns=(1, 1))
        wait_for(lambda: len(session.controls.names) == 4)
        assert session.controls.snapshot().style == 3, "a picture that was changed is a new style"
    assert not session.lines


def test_a_picture_that_is_being_copied_is_read_when_it_is_complete(folder: Path, tmp_path: Path) -> None:
    content = write_picture(tmp_path / "whole.png", (200, 200)).read_bytes()
    with Session(folder) as session, (folder / "part.png").open("wb", buffering=0) as file:
        for start in range(0, len(content), len(content) // 20):
            file.write(content[start : start + len(content) // 20])
            time.sleep(0.05)
        wait_for(lambda: len(session.controls.names) == 2)
    assert not session.lines


def test_what_is_no_picture_is_reported_once_and_the_session_goes_on(folder: Path, tmp_path: Path) -> None:
    with Session(folder) as session:
        (folder / "text.jpg").write_text("hello")
        (folder / "notes.txt").write_text("hello")
        write_picture(folder / "small.png", (9, 9))
        (folder / "link.png").symlink_to(write_picture(tmp_path / "outside.png"))
        wait_for(lambda: len(session.lines) == 3)
        write_picture(folder / "good.png")
        wait_for(lambda: len(session.controls.names) == 2)
    reasons = ("link.png: a link leads out", "small.png: 9x9 px is too small", "text.jpg: not an image")
    assert all(reason in line for line, reason in zip(sorted(session.lines), reasons, strict=True))


def test_the_number_of_styles_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.live.style_folder.MOST_STYLES", 2)
    with Session(folder) as session:
        for name in "ab":
            write_picture(folder / f"{name}.png")
        wait_for(lambda: session.lines)
    assert len(session.controls.names) == 2
    assert session.lines[0].endswith("left out: a session has at most 2 styles")


def test_dials_turn_the_styles_of_the_folder(folder: Path) -> None:
    picture, controls = write_picture(folder / "a.png"), Controls(["great-wave"])
    network: Any = SimpleNamespace(mixer=load_style_mixer(controls.names))
    watched = StyleFolder(folder, Dials(paint=4), controls, str)
    watched.watch(network)
    wait_for(lambda: len(controls.names) == 2)
    watched.stop()
    watched.join()
    assert np.array_equal(network.mixer.styles[1].scale, predict_style(picture, Dials(paint=4)).style.scale)


def test_a_folder_and_the_predictor_are_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="none: no such folder; create it"):
        LiveSession(plain_config(style_folder=folder / "none"), [Memory()], Controls(["great-wave"]))
    monkeypatch.setattr("models.predictor.BUNDLED", folder / "none")
    with pytest.raises(StyleError, match="none: missing"):
        LiveSession(plain_config(style_folder=folder), [Memory()], Controls(["great-wave"]))
