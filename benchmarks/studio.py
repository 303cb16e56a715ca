"""How fast is a live session of the studio in a real browser: round trip, frames per second, and do they stay?

    python benchmarks/studio.py [--seconds 60] [--height 360] [--viewers 1] [--transports webrtc,socket] [--json]

Chromium without a window opens the link that `flowbrush studio` prints, takes frames of its fake camera, which plays a
sample clip, draws a counter into their corner as black and white squares, hands them to the modules of the page that
send and show frames, and reads the counter from the stylized frames when they are shown. So the round trip has all of
it: encode, send, decode, wait, stylize, encode, send, decode, show. Browser and server share the processors of this
machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import ROOT, machine, machine_line, verdict

# The last minute may differ from the first by so much on a machine that does other things beside.
EQUAL_SHARE, EQUAL_MS = 1.25, 15.0
FAST_SECONDS = 240.0
FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

# What runs in the page.
MEASURE = (ROOT / "benchmarks" / "studio.js").read_text()


def make_camera(folder: Path, height: int) -> Path:
    """Write a sample clip as the uncompressed file that the fake camera plays; return its path."""
    path = folder / "camera.y4m"
    with av.open(str(ROOT / "sample_videos" / "harbor.mp4")) as clip, av.open(str(path), "w", "yuv4mpegpipe") as file:
        source = clip.streams.video[0]
        width = round(source.width * height / source.height / 2) * 2
        stream = file.add_stream("wrapped_avframe", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in clip.decode(source):
            file.mux(stream.encode(frame.reformat(width=width, height=height, format="yuv420p")))
        file.mux(stream.encode(None))
    return path


@contextmanager
def running_studio(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Run `flowbrush studio`, and yield its link and the number of its process."""
    command = [sys.executable, str(ROOT / "cli.py"), "studio", "--port", "0", "--folder", str(folder), *options]
    said = folder.with_suffix(".log")
    with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            while not (links := [word for word in said.read_text().split() if "?token=" in word]):
                time.sleep(0.1)
                assert process.poll() is None, said.read_text()
            yield links[0], process.pid
        finally:
            process.terminate()
            process.wait(30)


def memory_mb(process: int) -> float:
    """Return the resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def session(link: str, camera: Path, run: dict[str, Any], viewers: int) -> list[dict[str, Any]]:
    """Open the page in as many tabs as there are viewers, all at once; return what each measured."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags, timeout=180_000)
        context = browser.new_context(permissions=["camera"])
        context.set_default_timeout(180_000)
        pages = [context.new_page() for _ in range(viewers)]
        for page in pages:
            page.goto(link)
        for page in pages:
            page.evaluate(f"run => {{ globalThis.measured = ({MEASURE})(run) }}", run)
        results = [page.evaluate("() => globalThis.measured") for page in pages]
        browser.close()
    return results


def figures(result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return round trips and frames per second, over all and minute by minute."""
    taken = [(at - result["begin"], trip) for at, trip in result["taken"]]
    minutes = []
    length = min(60.0, seconds)
    for start in range(round(seconds / length)):
        trips = [trip for at, trip in taken if start * length <= at / 1000 < (start + 1) * length]
        minutes.append({"p50_ms": percentile(trips, 50), "p95_ms": percentile(trips, 95), "fps": len(trips) / length})
    trips = [trip for _, trip in taken]
    last = result["speeds"][-1] if result["speeds"] else {}
    return {
        "p50_ms": percentile(trips, 50),
        "p95_ms": percentile(trips, 95),
        "fps": len(trips) / seconds,
        "minutes": minutes,
        "network": f"{last.get('width')}x{last.get('height')}",
        "engine": last.get("engine"),
        "stylize_ms": statistics.median([speed["stylize_ms"] for speed in result["speeds"]] or [0.0]),
        **result["browser"],
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of the values; nan without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else float("nan")


def report(name: str, one: dict[str, Any]) -> None:
    """Print the figures of one viewer, a line each."""
    print(f"{name}: round trip p50 {one['p50_ms']:.0f} ms, p95 {one['p95_ms']:.0f} ms; {one['fps']:.1f} fps")
    print(f"{name}: network at {one['network']} with {one['engine']}, stylized after {one['stylize_ms']:.0f} ms")
    if "jitter_ms" in one:
        print(
            f"{name}: in the browser: encode {one['encode_ms']:.1f} ms, jitter buffer {one['jitter_ms']:.1f} ms, "
            f"decode {one['decode_ms']:.1f} ms"
        )
        print(
            f"{name}: {one['resolution']} at {one['sent_fps']} fps sent, {one['mbit_out']:.1f} Mbit; "
            f"{one['mbit_in']:.1f} Mbit received, {one['dropped']} frames dropped, {one['lost']} packets lost"
        )
    if len(one["minutes"]) > 1:
        for index, minute in enumerate(one["minutes"], 1):
            print(
                f"{name}: minute {index}: p50 {minute['p50_ms']:.0f} ms, p95 {minute['p95_ms']:.0f} ms; "
                f"{minute['fps']:.1f} fps"
            )
        first, last = one["minutes"][0]["p50_ms"], one["minutes"][-1]["p50_ms"]
        goal = f"at most {EQUAL_SHARE} times the first minute's, or {EQUAL_MS:g} ms more"
        print(verdict(last <= max(first * EQUAL_SHARE, first + EQUAL_MS), f"{name}: last minute {last:.0f} ms", goal))


def main() -> None:
    """Measure, and print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--viewers", type=int, default=1)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--transports", default="webrtc,socket")
    parser.add_argument("--cold", action="store_true", help="do not wait for a fast engine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    facts = machine()
    if not options.json:
        print(machine_line(facts))
    found: dict[str, Any] = {"machine": facts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        camera = make_camera(folder, options.height)
        most = ["--viewers", str(options.viewers)] if options.viewers > 1 else []
        with running_studio(folder / "studio", "--engine", options.engine, *most) as (link, process):
            wait = 0.0 if options.cold or options.engine == "eager" else FAST_SECONDS
            for transport in options.transports.split(","):
                run = {
                    "width": round(options.height * 16 / 9),
                    "height": options.height,
                    "seconds": options.seconds,
                    "transport": transport,
                    "style": options.style,
                    "waitSeconds": wait,
                }
                results = session(link, camera, run, options.viewers)
                found[transport] = [figures(result, options.seconds) for result in results]
                found[f"{transport}_memory_mb"] = memory_mb(process)
                if not options.json:
                    for index, one in enumerate(found[transport], 1):
                        report(f"{transport}{f' {index}' if options.viewers > 1 else ''}", one)
                    print(f"{transport}: the server takes {memory_mb(process):.0f} MB afterwards")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
