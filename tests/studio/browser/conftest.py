"""One Chromium and one studio for all tests of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.studio.page import CHROMIUM, PATIENCE_SECONDS, LivePage, needs_chromium, running_studio, write_camera

FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a camera that shows a square on a ramp."""
    reason = needs_chromium()
    if reason:
        pytest.skip(reason)
    camera = write_camera(tmp_path_factory.mktemp("camera") / "camera.y4m")
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def studio(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The link of a running studio."""
    with running_studio(tmp_path_factory.mktemp("studio")) as link:
        yield link


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser without cookies."""
    with chromium.new_context(viewport={"width": 1000, "height": 760}, accept_downloads=True) as context:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield context


@pytest.fixture
def open_page(context: BrowserContext, studio: str) -> Callable[..., Page]:
    """Open the link in a tab; ``script`` runs before those of the page."""

    def open_page(*, script: str = "", query: str = "", tab: str = "live") -> Page:
        page = context.new_page()
        page.add_init_script(script)
        page.goto(studio)
        if query or tab != "live":
            page.goto(f"{studio.partition('?')[0]}{query}#{tab}")
        page.wait_for_selector("body.ready")
        return page

    return open_page


@pytest.fixture
def live(open_page: Callable[..., Page]) -> LivePage:
    """The Live tab with a running camera."""
    return LivePage(open_page()).start()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of video and audio, in codecs that every browser plays."""
    from fractions import Fraction

    from tests.support.media import Audio, Clip, make_clip

    return make_clip(
        tmp_path_factory.mktemp("clip") / "square.webm",
        Clip(
            pts=range(0, 1000, 50),
            time_base=Fraction(1, 1000),
            width=160,
            height=90,
            codec="libvpx",
            options={"crf": "10", "b": "1M", "deadline": "realtime", "cpu-used": "8", "threads": "1"},
            audio=[Audio(codec="libopus")],
        ),
    )
