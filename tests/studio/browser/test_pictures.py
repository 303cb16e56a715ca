"""Pictures on the page in Chromium: dropped, chosen or pasted, they become styles; removed again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.studio.test_pictures import encoded, stripes
from tests.support.studio.page import PATIENCE_SECONDS, LivePage, choose_style, difference, until

# The browser starts within the first test; an interrupted one would take the others with it.
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(400)]

OpenPage = Callable[..., Page]
PATIENCE_MS = PATIENCE_SECONDS * 1000
# What a browser does with files that come from elsewhere: "drop" on an element, or "paste" on the page.
GIVE = """([how, selector, name, type, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type }));
    const options = { bubbles: true, cancelable: true };
    const target = document.querySelector(selector);
    if (how === "paste") target.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
    else target.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
}"""


def give(page: Page, how: str, selector: str, name: str, content: bytes, kind: str = "image/png") -> None:
    page.evaluate(GIVE, [how, selector, name, kind, list(content)])


def tile(page: Page, title: str) -> Locator:
    """The tile of a picture whose style is chosen."""
    found = page.locator(".own", has_text=title).first
    found.wait_for(timeout=PATIENCE_MS)
    expect(found.locator("input")).to_be_checked()
    return found


def remove(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Remove {title}").click()
    expect(page.locator(".own", has_text=title)).to_have_count(0)


def test_a_dropped_picture_is_the_style_of_live_video_blended_and_removed(live: LivePage) -> None:
    page = live.page
    before = live.mean()
    give(page, "drop", "#live", "evening sea.png", encoded(stripes()))
    picture = tile(page, "evening sea.png")
    assert page.inner_text("#style-title") == "evening sea.png"
    until(lambda: difference(live.mean(), before) > 15)
    until(lambda: picture.locator("img").evaluate("image => image.naturalWidth") > 0)
    alone = live.mean()
    page.select_option("#second", "the-scream")
    until(lambda: difference(live.mean(), alone) > 5)
    choose_style(page, "the-scream")
    page.select_option("#second", label="evening sea.png")
    assert page.is_enabled("#blend")
    choose_style(page, "great-wave")
    remove(page, "evening sea.png")
    assert page.locator("#second option", has_text="evening sea.png").count() == 0
    assert page.input_value("#second") == ""
    live.settle()
    assert not page.locator("#notices .error").count()


def test_a_chosen_picture_is_the_style_of_a_render_also_after_a_reload(open_page: OpenPage, clip: Path) -> None:
    page = open_page(tab="render")
    page.set_input_files("#render-file", clip)
    page.wait_for_selector("#render-after", timeout=PATIENCE_MS)
    shown = LivePage(page).shown
    before = shown("#render-after")
    file = {"name": "chosen.png", "mimeType": "image/png", "buffer": encoded(stripes())}
    page.set_input_files("#picture-file", file)  # type: ignore[arg-type]
    tile(page, "chosen.png")
    until(lambda: difference(shown("#render-after"), before) > 10)
    page.click("#start-render")
    job = page.locator("#jobs > li").first
    page.reload()
    tile(page, "chosen.png")
    remove(page, "chosen.png")
    expect(page.locator("input[value=great-wave]")).to_be_checked()
    job.get_by_role("link", name="Download").wait_for(timeout=2 * PATIENCE_MS)
    assert "chosen" in job.inner_text()
    job.get_by_role("button", name="Remove").click()
    expect(page.locator("#jobs > li")).to_have_count(0)


def test_a_pasted_picture_is_a_style_for_other_pages_too(open_page: OpenPage) -> None:
    page, other = open_page(), open_page()
    give(page, "paste", "body", "pasted.png", encoded(stripes()))
    tile(page, "pasted.png")
    expect(page.locator("#notices")).to_contain_text("120 px", timeout=PATIENCE_MS)
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(other.locator(".own", has_text="pasted.png")).to_have_count(1)
    remove(page, "pasted.png")
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(other.locator(".own", has_text="pasted.png")).to_have_count(0)


def test_what_is_no_picture_gets_one_line_and_no_tile(open_page: OpenPage) -> None:
    page = open_page(
        script="Object.defineProperty(File.prototype, 'size', { get() { return window.fileSize ?? 7; } });"
    )
    sent = []
    page.on("request", lambda request: sent.append(request.method) if "/api/pictures" in request.url else None)
    give(page, "drop", "#live", "drawing.svg", b"<svg/>", "image/svg+xml")
    error = page.locator("#notices .error").last
    expect(error).to_have_text("drawing.svg: not an image that can be read; use a JPEG or PNG", timeout=PATIENCE_MS)
    give(page, "drop", "#panel", "film.mp4", b"x", "video/mp4")
    expect(error).to_have_text("film.mp4: this is a clip; drop it beside the styles.")
    page.evaluate("window.fileSize = 1e9")
    give(page, "drop", "#panel", "vast.png", b"x")
    expect(error).to_have_text("vast.png: it has 1 GB, and the studio takes 64 MB; scale it down.")
    assert sent.count("POST") == 1
    assert page.locator(".own, .arriving").count() == 0


def test_a_gif_or_an_animated_picture_beside_the_styles_is_a_clip(open_page: OpenPage) -> None:
    page = open_page(tab="render")
    stills = [stripes(), stripes().rotate(90)]
    animated = encoded(stills[0], "WEBP", save_all=True, append_images=stills[1:], duration=40)
    for name, kind, content in (("a.gif", "image/gif", encoded(stills[0], "GIF")), ("b.webp", "image/webp", animated)):
        with page.expect_request("**/api/uploads?name=*") as request:
            give(page, "drop", "#render", name, content, kind)
        assert request.value.url.endswith(name)
    give(page, "drop", "#render", "still.webp", encoded(stills[0], "WEBP"), "image/webp")
    tile(page, "still.webp")
    remove(page, "still.webp")
