"""Make the image of docs/export.md: its web page in Chromium, on a frame of a sample clip.

python docs/make_web_picture.py [FOLDER]

FOLDER contains node_modules/onnxruntime-web; without it, npm installs that into a temporary folder. The page is the one
in docs/export.md, so it is shown to work as it stands there.
"""

import functools
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.make_pictures import flowbrush, frames, save
from pipeline.frames import Pixels
from tests.support.studio.page import CHROMIUM, until

PAGE = Path(__file__).with_name("export.md")
STYLE = "great-wave"
PATIENCE_SECONDS = 300
# Mean difference from the photo, in levels of 255, from which on a picture counts as stylized.
DIFFERENT = 5
PIXELS = """() => {
    const canvas = document.querySelector("canvas"), { width, height } = canvas;
    return [width, height, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
}"""


def main() -> None:
    """Write ``web.jpg`` beside this file, and print how far the page is from `flowbrush video`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = frames(folder, "harbor", 3.0, "--style", STYLE, "--strength", "0")[0]
        expected = frames(folder, "harbor", 3.0, "--style", STYLE, "--precision", "fp32")[0]
        Image.fromarray(photo).save(folder / "photo.png")
        (folder / "index.html").write_text(page_of_the_docs(), encoding="utf-8")
        packages = Path(sys.argv[1]) if sys.argv[1:] else install(folder)
        if packages != folder:
            (folder / "node_modules").symlink_to(packages.resolve() / "node_modules")
        version = json.loads((folder / "node_modules/onnxruntime-web/package.json").read_text())["version"]
        for precision in ("fp16", "fp32"):
            model = folder / f"{STYLE}.onnx"
            flowbrush("export", str(model), "--style", STYLE, "--precision", precision, "--overwrite")
            with opened(folder) as page:
                shown = stylized(page, photo)
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            levels = np.abs(shown.astype(int) - expected)
            far = f"{levels.mean():.3f} levels from flowbrush video on average, {levels.max()} at most"
            print(f"onnxruntime-web {version}, {precision}: {far}")
        save("web.jpg", picture, 150_000)


def page_of_the_docs() -> str:
    """Return the page in docs/export.md, with both pictures side by side."""
    (page,) = re.findall(r"```html\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    style = "<style>body { margin: 0; white-space: nowrap } img, canvas { width: 50vw }</style>"
    return f"<!doctype html>\n{style}\n{page}"


def install(folder: Path) -> Path:
    """Install onnxruntime-web with npm, without running any code of the packages."""
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        "onnxruntime-web",
    ]
    subprocess.run(command, check=True)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """Serve a folder, and open it in Chromium."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 366})
        page.on("console", lambda message: print(message.text))
        page.on("pageerror", lambda error: print(f"error in the page: {error}"))
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        yield page
        browser.close()
        server.shutdown()


def stylized(page: Page, photo: Pixels) -> Pixels:
    """Wait until the page shows another picture than the photo, and return it: ``(height, width, 3)`` uint8."""
    shown: list[Pixels] = []

    def is_stylized() -> bool:
        width, height, rgba = page.evaluate(PIXELS)
        if (height, width) == photo.shape[:2]:
            shown[:] = [np.array(rgba, np.uint8).reshape(height, width, 4)[..., :3]]
        return bool(shown) and shown[0].any() and np.abs(shown[0].astype(int) - photo).mean() > DIFFERENT

    until(is_stylized, PATIENCE_SECONDS)
    return shown[0]


if __name__ == "__main__":
    main()
