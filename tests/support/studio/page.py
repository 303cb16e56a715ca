"""The studio's page in Chromium, with a camera that is a file; what it shows, as numbers."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from tests.support.media import moving_square
from tests.support.studio import StudioProcess

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MUST_RUN = "FLOWBRUSH_NEEDS_CHROMIUM"
"""Environment variable that makes a missing Chromium a failure."""

WIDTH, HEIGHT, FPS = 160, 90, 15
# The machine may be busy with something else; nothing is measured by this.
PATIENCE_SECONDS = 60.0

# What an element shows, scaled to 32x18: RGBA, row by row.
_SHOWN = """element => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 32, height: 18 });
    const context = canvas.getContext("2d");
    context.drawImage(element, 0, 0, 32, 18);
    return [...context.getImageData(0, 0, 32, 18).data];
}"""


def write_camera(path: Path, seconds: int = 4) -> Path:
    """Write what Chromium's fake camera shows, over and over: a square on a ramp, 160x90, raw (``.y4m``)."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(seconds * FPS):
            picture = moving_square(index, width=WIDTH, height=HEIGHT, step=2)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + frame.to_ndarray().tobytes())
    return path


@contextmanager
def running_studio(folder: Path, *options: str) -> Iterator[str]:
    """Run ``flowbrush studio``, and yield the link that it prints."""
    studio = StudioProcess(folder, *options)
    try:
        yield f"{studio.address}/?token={studio.token}"
        studio.stop()
    finally:
        studio.kill()


def until(what: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until ``what`` is true; return how many seconds it took.

    Raises:
        AssertionError: it does not become true.
    """
    start = time.monotonic()
    while not what():
        assert time.monotonic() < start + seconds, "it does not happen"
        time.sleep(0.02)
    return time.monotonic() - start


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean difference of two pictures, from 0 to 255."""
    return float(np.abs(one - other).mean())


class LivePage:
    """The Live tab, as a person uses it."""

    AFTER = "#live-stage .after:not([hidden])"

    def __init__(self, page: Page) -> None:
        self.page = page

    def start(self) -> "LivePage":
        """Start the camera and wait for the first stylized frame."""
        self.page.wait_for_selector("body.ready")
        self.page.click("#start-camera")
        self.wait_for_video()
        return self

    def wait_for_video(self) -> None:
        """Wait until stylized video is shown."""
        self.page.wait_for_selector("#live-stage[data-state=live]", timeout=PATIENCE_SECONDS * 1000)

    def shown(self, selector: str = AFTER) -> NDArray[np.float64]:
        """Return ``(18, 32, 3)``: what is shown now, stylized; or another element."""
        numbers = self.page.locator(selector).evaluate(_SHOWN)
        return np.array(numbers, np.float64).reshape(18, 32, 4)[..., :3]

    def mean(self, frames: int = 5) -> NDArray[np.float64]:
        """Return the mean of some stylized pictures, in which the moving square counts little."""
        pictures = []
        for _ in range(frames):
            pictures.append(self.shown())
            self.page.wait_for_timeout(120)
        return np.mean(pictures, axis=0)

    def frames(self) -> int:
        """Return how many stylized frames the video has shown."""
        count = "video => video.getVideoPlaybackQuality().totalVideoFrames"
        return int(self.page.locator("#live-after").evaluate(count))

    def settle(self, frames: int = 10) -> None:
        """Wait until so many further frames were shown: by then they have the settings."""
        last = self.frames() + frames
        until(lambda: self.frames() >= last)

    def choose(self, style: str) -> None:
        """Click a style in the gallery."""
        choose_style(self.page, style)

    def moves(self) -> bool:
        """Return whether what is shown changes."""
        first = self.shown()
        until(lambda: difference(self.shown(), first) > 0.5)
        return True

    @property
    def transport(self) -> str:
        """How frames travel, as the page says it; waits until it does."""
        until(lambda: self.page.inner_text("#transport") != "–")
        return self.page.inner_text("#transport")


def choose_style(page: Page, style: str) -> None:
    """Click a style in the gallery."""
    page.locator(".tile", has=page.locator(f"input[value={style}]")).click()


def needs_chromium() -> str | None:
    """Return why browser tests cannot run here, None if they can.

    Raises:
        AssertionError: Chromium is missing where it must not be.
    """
    if CHROMIUM:
        return None
    assert not os.environ.get(MUST_RUN), "these tests must run here: install chromium"
    return "Chromium is not installed"
