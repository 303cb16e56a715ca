"""Make the images of docs/studio.md: the page in Chromium, with one sample clip as the camera and one to render."""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.make_pictures import save
from pipeline.api import stylize_frames
from pipeline.config import StylizeConfig
from pipeline.media.stills import write_image
from tests.support.studio.page import CHROMIUM, LivePage, choose_style, running_studio, until

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ROOT / "sample_videos"
DESKTOP, TALL, PHONE = (1440, 860), (1440, 960), (390, 844)
WIDTH = 1280
LARGEST_BYTES = 150_000
# A painting that nobody has painted: the street in a blend of styles.
PAINTING_STYLE, PAINTING_SIZE = "composition-vii:0.5,olive-trees:0.5", (1280, 720)
# The first frames run on eager; a fast engine is compiled meanwhile.
SETTLED_SECONDS = 45
PATIENCE_MS = 300_000
# The speed of the machine that makes the pictures says nothing to who looks at them. The page writes it every second.
WITHOUT_SPEEDS = """() => {
    const style = new CSSStyleSheet();
    style.replaceSync(`#fps, #round-trip { font-size: 0; }
        #fps::after, #round-trip::after { content: "–"; font-size: 0.9375rem; }`);
    document.adoptedStyleSheets = [style];
    for (const line of document.querySelectorAll("#jobs > [data-state=running] > p.small"))
        line.textContent = line.textContent.split(" · ").slice(0, 2).join(" · ");
}"""


def main() -> None:
    """Write the pictures of the Live tab, of a picture as a style, of the Render tab and of phones beside this file."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        camera = write_camera(Path(folder) / "camera.mjpeg", CLIPS / "street.mp4")
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags.append(f"--use-file-for-fake-video-capture={camera}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        with running_studio(Path(folder) / "live", "--engine", "auto") as link:
            save_scaled("studio-live.jpg", live(browser, link))
            painting = write_painting(Path(folder) / "my painting.png", CLIPS / "street.mp4")
            save_scaled("studio-picture.jpg", own_picture(browser, link, painting))
        with running_studio(Path(folder) / "render") as link:  # eager: nothing is compiled for two short clips
            short = start_of(CLIPS / "street.mp4", Path(folder) / "street.mp4")
            save_scaled("studio-render.jpg", render(browser, link, short))
            save_scaled("studio-phone.jpg", phones(browser, link))


def live(browser: Browser, link: str) -> Image.Image:
    """Return the Live tab on a desktop, light: before and after."""
    with opened(browser, link, DESKTOP, "light") as page:
        choose_style(page, "great-wave")
        LivePage(page).start()
        page.wait_for_timeout(SETTLED_SECONDS * 1000)
        page.click("#live-compare")
        return picture(page)


def own_picture(browser: Browser, link: str, painting: Path) -> Image.Image:
    """Return the Live tab on a desktop, light: the style of a picture that was added, before and after."""
    with opened(browser, link, DESKTOP, "light") as page:
        LivePage(page).start()
        page.set_input_files("#picture-file", painting)
        page.wait_for_selector(".own :checked", state="attached")
        page.wait_for_timeout(SETTLED_SECONDS * 1000)
        page.click("#live-compare")
        return picture(page)


def render(browser: Browser, link: str, short: Path) -> Image.Image:
    """Return the Render tab on a desktop, dark: a finished render, of a ``short`` clip, and one in progress."""
    with opened(browser, link, TALL, "dark") as page:
        page.click("#tab-render")
        for clip, style in ((short, "red-eiffel-tower"), (CLIPS / "harbor.mp4", "starry-night")):
            choose_style(page, style)
            page.set_input_files("#render-file", clip)
            page.wait_for_selector("#render-stage[data-state=open]")
            page.wait_for_selector("#render-after")
            page.fill("#time", "3" if clip != short else "0")
            page.click("#start-render")
            if clip == short:
                page.wait_for_selector("#jobs [data-state=done]", timeout=PATIENCE_MS)
        progress = page.locator("#jobs [data-state=running] progress")
        progress.wait_for()
        until(lambda: progress.evaluate("bar => bar.value > 0.1"), PATIENCE_MS / 1000)
        page.click("#render-compare")
        page.wait_for_selector("#render-busy", state="hidden")
        return picture(page)


def phones(browser: Browser, link: str) -> Image.Image:
    """Return two phones side by side: Live before the start, light; Render with a clip, dark."""
    shown = []
    for scheme, tab in (("light", "live"), ("dark", "render")):
        with opened(browser, link, PHONE, scheme) as page:
            page.click(f"#tab-{tab}")
            if tab == "render":
                choose_style(page, "the-scream")
                page.set_input_files("#render-file", CLIPS / "harbor.mp4")
                page.wait_for_selector("#render-after")
                page.click("#render-compare")
            page.evaluate("scrollTo(0, 0)")
            shown.append(picture(page))
    gap = 24
    sheet = Image.new("RGB", (len(shown) * (PHONE[0] + gap) - gap, PHONE[1]), "white")
    for number, one in enumerate(shown):
        sheet.paste(one, (number * (PHONE[0] + gap), 0))
    return sheet


@contextmanager
def opened(browser: Browser, link: str, size: tuple[int, int], scheme: str) -> Iterator[Page]:
    """Open the link in a browser of its own, and wait for the thumbnails."""
    width, height = size
    is_phone = size == PHONE
    viewport = {"width": width, "height": height}
    with browser.new_context(viewport=viewport, color_scheme=scheme, is_mobile=is_phone, has_touch=is_phone) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(link)
        page.wait_for_selector("body.ready")
        loaded = "[...document.querySelectorAll('.tile img')].every(image => image.naturalWidth)"
        until(lambda: page.evaluate(loaded), PATIENCE_MS / 1000)
        yield page


def picture(page: Page) -> Image.Image:
    """Return what the page shows."""
    page.wait_for_timeout(1000)
    page.evaluate(WITHOUT_SPEEDS)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        return image.convert("RGB")


def write_camera(path: Path, clip: Path) -> Path:
    """Write a clip as the JPEG pictures that Chromium's fake camera takes."""
    with av.open(str(clip)) as source, av.open(str(path), "w", format="mjpeg") as target:
        video = source.streams.video[0]
        track = target.add_stream("mjpeg", rate=video.average_rate, options={"qmin": "3", "qmax": "3"})
        track.width, track.height, track.pix_fmt = video.width, video.height, "yuvj420p"
        for frame in source.decode(video):
            pixels = frame.reformat(format="yuvj420p", dst_color_range="JPEG").to_ndarray()
            converted = av.VideoFrame.from_ndarray(pixels, "yuvj420p")
            converted.color_range = 2
            target.mux(track.encode(converted))
        target.mux(track.encode(None))
    return path


def write_painting(path: Path, clip: Path) -> Path:
    """Write the first frame of a clip in a blend of styles."""
    with av.open(str(clip)) as source:
        frame = next(source.decode(video=0)).reformat(*PAINTING_SIZE, format="rgb24").to_ndarray()
    config = StylizeConfig(style=PAINTING_STYLE, engine="eager", stability="none")
    write_image(path, next(stylize_frames([frame], config)))
    return path


def start_of(clip: Path, target: Path, seconds: float = 1.0) -> Path:
    """Write the video of the first ``seconds`` of a clip."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as result:
        video = source.streams.video[0]
        track = result.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.pts is not None and packet.pts * packet.time_base < seconds:
                packet.stream = track
                result.mux(packet)
    return target


def save_scaled(name: str, image: Image.Image) -> None:
    """Write a JPEG that is at most `WIDTH` wide."""
    if image.width > WIDTH:
        size = (WIDTH, round(image.height * WIDTH / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    save(name, image, LARGEST_BYTES)


if __name__ == "__main__":
    main()
