"""The Render tab in Chromium: a clip is uploaded, previewed, stylized with its audio, and downloaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.support.media import Audio, Clip, contents, make_clip
from tests.support.studio.page import (
    PATIENCE_SECONDS,
    LivePage,
    choose_style,
    difference,
    running_studio,
    until,
)

# The browser starts within the first test; an interrupted one would take the others with it.
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(400)]

OpenPage = Callable[..., Page]
AFTER, BEFORE = "#render-after", "#render-before"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two seconds of video and audio: 60 frames of 160x90."""
    clip = Clip(pts=range(0, 512 * 60, 512), width=160, height=90, audio=[Audio()])
    return make_clip(tmp_path / "holiday & sea.mp4", clip)


@pytest.fixture
def page(open_page: OpenPage, source: Path) -> Page:
    """The Render tab with an uploaded clip."""
    page = open_page(tab="render")
    page.set_input_files("#render-file", source)
    page.wait_for_selector("#render-stage[data-state=open]")
    page.wait_for_selector(AFTER)
    return page


def test_a_clip_is_previewed_stylized_and_downloaded_with_its_audio(page: Page, source: Path, tmp_path: Path) -> None:
    shown = LivePage(page).shown
    assert difference(shown(AFTER), shown(BEFORE)) > 15
    page.click("#start-render")
    job = page.locator("#jobs > li").first
    assert "holiday & sea.mp4" in job.inner_text()
    page.reload()
    with page.expect_download(timeout=PATIENCE_SECONDS * 2000) as download:
        job.get_by_role("link", name="Download").click(timeout=PATIENCE_SECONDS * 2000)
    target = tmp_path / download.value.suggested_filename
    download.value.save_as(target)
    assert "holiday" in target.name
    assert target.suffix == ".mp4"
    result, original = contents(target), contents(source)
    assert result.times == original.times
    assert result.audio == original.audio
    job.get_by_role("button", name="Remove").click()
    expect(page.locator("#jobs > li")).to_have_count(0)
    assert page.is_visible("#no-jobs")


def test_the_preview_follows_settings_and_time(page: Page) -> None:
    shown = LivePage(page).shown
    choose_style(page, "starry-night")
    page.wait_for_timeout(500)
    until(lambda: page.is_hidden("#render-busy"))
    one, original = shown(AFTER), shown(BEFORE)
    choose_style(page, "the-scream")
    until(lambda: difference(shown(AFTER), one) > 15)
    page.fill("#time", "1")
    until(lambda: difference(shown(BEFORE), original) > 2)
    page.fill("#strength", "0")
    until(lambda: difference(shown(AFTER), shown(BEFORE)) < 5)


def test_the_split_view_shows_both(page: Page) -> None:
    page.click("#render-compare")
    handle = page.locator("#render-split")
    handle.focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    assert handle.get_attribute("aria-valuetext") == "10% original"


def test_the_clip_is_still_open_after_a_reload(page: Page) -> None:
    page.reload()
    page.wait_for_selector("#render-stage[data-state=open]")
    page.wait_for_selector(AFTER)


def test_a_render_is_cancelled(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(tab="render")
    clip = Clip(pts=range(0, 512 * 900, 512), width=320, height=180, audio=[Audio()])
    page.set_input_files("#render-file", make_clip(tmp_path / "long.mp4", clip))
    page.wait_for_selector("#render-stage[data-state=open]")
    page.click("#start-render")
    job = page.locator("#jobs > li").first
    job.get_by_role("button", name="Cancel").click()
    expect(job.locator(".state")).to_have_text("cancelled", timeout=PATIENCE_SECONDS * 1000)
    job.get_by_role("button", name="Remove").click()
    expect(page.locator("#jobs > li")).to_have_count(0)


def test_a_failed_render_is_tried_again(context: BrowserContext, source: Path, tmp_path: Path) -> None:
    with running_studio(tmp_path / "studio", "--viewers", "0") as link:
        page = context.new_page()
        page.goto(f"{link}#render")
        page.wait_for_selector("body.ready")
        page.set_input_files("#render-file", source)
        page.wait_for_selector("#render-stage[data-state=open]")
        (stored,) = (tmp_path / "studio" / "uploads").glob("*/clip.mp4")
        stored.write_bytes(b"not a clip")
        page.click("#start-render")
        job = page.locator("#jobs > li").first
        again = job.get_by_role("button", name="Try again")
        again.wait_for()
        stored.write_bytes(source.read_bytes())
        again.click()
        expect(again).to_have_count(0)
        job.get_by_role("link", name="Download").wait_for(timeout=PATIENCE_SECONDS * 2000)


def test_what_is_no_clip_is_refused_in_one_sentence(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(tab="render")
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear browser, " * 500)
    page.set_input_files("#render-file", letter)
    expect(page.locator("#render-title")).to_have_text("This does not work", timeout=PATIENCE_SECONDS * 1000)
    assert page.inner_text("#render-text").startswith("letter.mp4")
    assert "\n" not in page.inner_text("#render-text")
    assert page.is_visible("#choose")
    assert page.is_disabled("#start-render")


def test_a_clip_past_the_limit_is_not_even_sent(open_page: OpenPage, source: Path) -> None:
    page = open_page(script="Object.defineProperty(File.prototype, 'size', { get: () => 1e15 });", tab="render")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/api/uploads" in request.url else None)
    page.set_input_files("#render-file", source)
    expect(page.locator("#render-title")).to_have_text("This clip is too large")
    assert not sent


def test_a_clip_past_the_limit_leaves_the_one_that_is_open(page: Page, source: Path) -> None:
    page.evaluate("Object.defineProperty(File.prototype, 'size', { get: () => 1e15 })")
    page.set_input_files("#other-file", source)
    expect(page.locator("#notices .error")).to_contain_text("shorten it first")
    assert page.is_enabled("#start-render")
    assert page.is_visible(AFTER)


def test_the_list_of_renders_listens_again_after_a_refusal(open_page: OpenPage) -> None:
    page = open_page()
    job = {"job": "0" * 24, "name": "a.mp4", "state": "running", "frames_done": 1, "frames": 9, "notices": []}
    asked = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, json={"error": "100 pages listen already; close some of them"})

    page.route("**/api/jobs", lambda route: route.fulfill(json={"jobs": [job]}))
    page.route("**/api/jobs/events", refuse)
    page.click("#tab-render")
    until(lambda: page.wait_for_timeout(100) is None and len(asked) > 1)
