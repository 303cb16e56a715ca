"""The page itself: layout, keys, names, what it loads; and the studio at another address than the loopback one."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.studio.page import PATIENCE_SECONDS, LivePage, difference, running_studio

# The browser starts within the first test; an interrupted one would take the others with it.
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(400)]

OpenPage = Callable[..., Page]
COUNT_SHIFTS = """
window.shifts = 0;
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


SIZES = [(1440, 900), (390, 844)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_jumps_while_it_loads_and_nothing_is_cut_off(
    chromium: Browser, studio: str, width: int, height: int, scheme: str
) -> None:
    size = {"width": width, "height": height}
    with chromium.new_context(viewport=size, color_scheme=scheme) as context:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        hosts = set()
        page.on("request", lambda request: hosts.add(request.url.partition("/page")[0].partition("/api")[0]))
        page.add_init_script(COUNT_SHIFTS)
        page.goto(studio)
        page.wait_for_selector("body.ready")
        page.wait_for_timeout(500)
        assert page.evaluate("window.shifts") < 0.02
        for tab in ("#tab-render", "#tab-live"):
            page.click(tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#start-camera").bounding_box()["y"] < height  # type: ignore[index]
        assert not problems
        assert "token" not in page.url
        assert {host.partition("?")[0].rstrip("/") for host in hosts if host.startswith("http")} == {
            studio.partition("/?")[0]
        }


@pytest.mark.parametrize(("width", "height"), [*SIZES, (375, 667), (800, 600)])
def test_nothing_jumps_when_video_appears(chromium: Browser, studio: str, clip: Path, width: int, height: int) -> None:
    with chromium.new_context(viewport={"width": width, "height": height}) as context:
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        page = context.new_page()
        page.add_init_script(COUNT_SHIFTS)
        page.goto(studio)
        live = LivePage(page).start()
        assert live.moves()
        assert page.evaluate("window.shifts") < 0.02
        page.click("#stop")
        page.click("#tab-render")
        page.set_input_files("#render-file", clip)
        page.wait_for_selector("#render-stage[data-state=open]")
        page.wait_for_selector("#render-after")
        assert page.evaluate("window.shifts") < 0.02


def test_every_control_is_reached_by_tab_and_has_a_name(open_page: OpenPage) -> None:
    page = open_page()
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const e = document.activeElement;"
                " return [e.id || e.name || e.tagName, (e.labels?.[0] ?? e).textContent || e.ariaLabel]; }"
            )
        )
    names = [name for name, _ in reached]
    for wanted in ("tab-live", "start-camera", "live-file", "style", "second", "strength", "stability", "mirror"):
        assert wanted in names
    assert all(text and text.strip() for name, text in reached if name != "BODY")


def test_keys_choose_tabs_styles_and_settings(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("2")
    second = page.locator("input[name=style]").nth(1)
    assert second.is_checked()
    page.keyboard.press("c")
    assert page.is_checked("#keep-colors")
    page.focus("#tab-live")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#render")
    assert page.evaluate("document.activeElement.id") == "tab-render"


def test_settings_are_still_there_after_a_reload(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("3")
    page.fill("#strength", "60")
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.locator("input[name=style]").nth(2).is_checked()
    assert page.input_value("#strength") == "60"


def test_another_address_than_loopback_needs_https_and_the_token(chromium: Browser, tmp_path: Path) -> None:
    address = _own_address()
    if address is None:
        pytest.skip("this machine has no address but the loopback one")
    with (
        running_studio(tmp_path, "--host", address) as link,
        chromium.new_context(ignore_https_errors=True) as context,
    ):
        assert link.startswith(f"https://{address}:")
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        bare = link.partition("?")[0]
        page = context.new_page()
        refused = page.goto(bare)
        assert refused is not None
        assert refused.status in (401, 403)
        page.goto(link)
        assert "token" not in page.url
        live = LivePage(page).start()
        assert live.moves()
        assert difference(live.shown(), live.shown("#live-before")) > 15
        cookie = next(iter(context.cookies()))
        assert cookie["secure"]
        assert cookie["httpOnly"]


def _own_address() -> str | None:
    """Return an address of this machine at which others reach it, None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])
