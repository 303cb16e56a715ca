"""Mutate small clips and read them: the result must be frames, or one of our errors.

    python -m tests.support.fuzz 2000            # as `make prove` does
    python -m tests.support.fuzz --seed 1234     # repeats one of them, with its traceback

Each mutation follows from its seed. The work is done in processes of their own, so that a crash of the interpreter, a
hang and a word from a C library are seen, and charged to the seed that did it.
"""

import argparse
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.support.extras import FONT, Extras, Subtitles, cues, enrich
from tests.support.media import Audio, Clip, make_clip, moving_square

ROOT = Path(__file__).resolve().parents[2]

SECONDS_EACH = 60
MOST_MEMORY_BYTES = 4 * 2**30

MILLISECONDS = {"time_base": Fraction(1, 1000), "pts": range(0, 480, 40)}
TICKS = {"time_base": Fraction(1, 90000), "pts": range(0, 12 * 3600, 3600)}
SHORT = {"pts": range(0, 512 * 12, 512)}
FRAMES = {"time_base": Fraction(1, 25), "pts": range(12)}
HALF = Fraction(1, 2)
QUICK = {"preset": "ultrafast", "bf": "2", "g": "6"}


def _audio(codec: str, rate: int = 48000) -> dict[str, list[Audio]]:
    return {"audio": [Audio(codec=codec, rate=rate, seconds=HALF)]}


CLIPS: dict[str, Clip] = {
    "h264.mp4": Clip(**SHORT, **_audio("aac"), options=QUICK),
    "h265.mp4": Clip(**SHORT, codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}),
    "av1.mp4": Clip(**SHORT, codec="libsvtav1", options={"preset": "12"}),
    "h264.mkv": Clip(**MILLISECONDS, **_audio("ac3"), options=QUICK),
    "ffv1.mkv": Clip(**MILLISECONDS, codec="ffv1", options={"level": "3"}),
    "vp9.webm": Clip(**MILLISECONDS, **_audio("libopus"), codec="libvpx-vp9", options={"deadline": "realtime"}),
    "vp8.webm": Clip(**MILLISECONDS, codec="libvpx", options={"deadline": "realtime"}),
    "prores.mov": Clip(**SHORT, codec="prores_ks", pixel_format="yuva444p10le", options={}),
    "turned.mov": Clip(**SHORT, **_audio("pcm_s16le"), rotation=90, options=QUICK),
    "h264.ts": Clip(**TICKS, **_audio("aac"), options=QUICK),
    "mpeg4.avi": Clip(**FRAMES, **_audio("libmp3lame"), codec="mpeg4", options={}),
    "mjpeg.avi": Clip(**FRAMES, codec="mjpeg", pixel_format="yuvj420p", options={}),
    "flv.flv": Clip(**MILLISECONDS, codec="flv", options={}),
    "h264.flv": Clip(**MILLISECONDS, **_audio("aac", 44100), options=QUICK),
    "gif.gif": Clip(time_base=Fraction(1, 100), pts=range(0, 48, 4), codec="gif", pixel_format="rgb8", options={}),
    "vp8.ogg": Clip(**FRAMES, **_audio("libopus"), codec="libvpx", options={"deadline": "realtime"}),
    "wmv.asf": Clip(**MILLISECONDS, codec="wmv2", options={}),
    "ffv1.nut": Clip(**FRAMES, codec="ffv1", options={}),
    "raw.y4m": Clip(**FRAMES, codec="rawvideo", options={}, width=32, height=24),
    "vp8.ivf": Clip(**FRAMES, codec="libvpx", options={"deadline": "realtime"}),
}
FORMS = {".y4m": "yuv4mpegpipe"}


def make_originals(folder: Path) -> list[Path]:
    """Make a clip of each kind, with subtitles, chapters and a font if the container supports them."""
    os.environ["SVT_LOG"] = "1"  # read when its encoder is first opened
    folder.mkdir(exist_ok=True)
    made = [make_clip(folder / name, clip, form=FORMS.get(Path(name).suffix)) for name, clip in CLIPS.items()]
    chapters = [(Fraction(0), HALF, "one")]
    rich = {
        "rich.mkv": Extras([Subtitles(cues("Hello"))], chapters, [("a.ttf", "font/ttf", FONT)], has_cover=True),
        "rich.mp4": Extras([Subtitles(cues("Hello"), "mov_text")], chapters, has_cover=True),
    }
    made += [enrich(made[0], folder / name, extras) for name, extras in rich.items()]
    return [*made, _webp(folder / "moving.webp")]


def _webp(path: Path) -> Path:
    from PIL import Image

    pictures = [Image.fromarray(moving_square(number)) for number in range(6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path


def mutated(seed: int, originals: list[Path]) -> tuple[str, bytes]:
    """Return suffix and bytes of the file of ``seed``: one of ``originals`` with one to four changes."""
    chance = random.Random(seed)
    original = originals[seed % len(originals)]
    data = bytearray(original.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 4))):
        if data:
            chance.choice(MUTATIONS)(data, chance, originals)
    return original.suffix, bytes(data)


def _flip(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    for _ in range(chance.choice((1, 4, 32))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut_short(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    del data[chance.randrange(len(data)) :]


def _remove(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    del data[begin : begin + chance.randrange(1, 2000)]


def _repeat(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    part = data[begin : begin + chance.randrange(1, 4000)]
    place = chance.randrange(len(data))
    data[place:place] = part * chance.choice((1, 1, 5))


def _splice(data: bytearray, chance: random.Random, originals: list[Path]) -> None:
    other = chance.choice(originals).read_bytes()
    begin = chance.randrange(len(other))
    place = chance.randrange(len(data))
    data[place : place + chance.choice((0, 500, 4000))] = other[begin : begin + chance.randrange(1, 4000)]


def _noise(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    begin = chance.randrange(len(data))
    length = min(chance.randrange(1, 400), len(data) - begin)
    data[begin : begin + length] = chance.randbytes(length)


def _number(data: bytearray, chance: random.Random, _: list[Path]) -> None:
    """Set a header field to an extreme value, at the start of the file or, as in an mp4, at its end."""
    length = chance.choice((1, 2, 4, 8))
    near = chance.randrange(min(3000, len(data)))
    place = near if chance.random() < 0.5 else len(data) - 1 - near
    most = 256**length
    value = chance.choice((0, 1, most - 1, most // 2, most // 2 - 1, chance.randrange(most)))
    data[place : place + length] = value.to_bytes(length, chance.choice(("big", "little")))


MUTATIONS: tuple[Callable[[bytearray, random.Random, list[Path]], None], ...] = (
    _flip,
    _flip,
    _cut_short,
    _remove,
    _repeat,
    _splice,
    _noise,
    _number,
    _number,
)


def read_and_write(seed: int, originals: list[Path], folder: Path) -> str:
    """Open, plan and decode; every third file is also written. Return the outcome in a word.

    Raises:
        Exception: one that is not ours, which is what is looked for.
    """
    from pipeline.config import EncodeConfig
    from pipeline.decode.decoder import decode
    from pipeline.decode.source import open_source
    from pipeline.encode.planner import plan_output
    from pipeline.errors import PipelineError
    from tests.support.transcoding import transcode

    ending, data = mutated(seed, originals)
    path, target = folder / f"in{ending}", folder / f"out{('.mkv', '.mp4', '.mov')[seed // 3 % 3]}"
    path.write_bytes(data)
    try:
        with open_source(path) as source:
            plan = plan_output(source, target, EncodeConfig(preset="ultrafast", codec="h264"))
            is_small = source.info.width * source.info.height < 2**20
            if seed % 3 == 0 and is_small:
                transcode(source, plan)
                return "written, damaged" if source.damage else "written"
            if not any(True for _ in decode(source)):
                return "BUG: a source without a frame"
            return "read, damaged" if source.damage else "read"
    except PipelineError as error:
        word = type(error).__name__
        return f"BUG: {word} of two lines: {error!r}" if "\n" in str(error).replace(str(folder), "") else word
    finally:
        path.unlink()
        target.unlink(missing_ok=True)


def _work(folder: Path, originals: Path) -> None:
    """Run a worker: read seeds from standard input, print a line with the outcome of each."""
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    clips = sorted(originals.iterdir())
    said = tempfile.TemporaryFile()  # noqa: SIM115 - open until the process ends
    os.dup2(said.fileno(), 2)
    for line in sys.stdin:
        before = os.fstat(2).st_size
        try:
            outcome = read_and_write(int(line), clips, folder)
        except Exception as error:  # noqa: BLE001 - every other error is a finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"BUG: {type(error).__name__} {error} in {last.filename}:{last.lineno}"
        if any(folder.iterdir()):
            outcome += f" BUG: left {[path.name for path in folder.iterdir()]}"
            for path in folder.iterdir():
                path.unlink()
        if os.fstat(2).st_size > before:
            said.seek(before)
            outcome += f" BUG: said {said.read(300)!r}"
        print(" ".join(outcome.split()), flush=True)


class Worker:
    """A process that runs one seed after another; restarted after a crash or a hang."""

    def __init__(self, folder: Path, originals: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-W", "error", "-m", "tests.support.fuzz", "--worker", str(folder), str(originals)]
        self._command = command
        self._begin()

    def _begin(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        environment = dict(os.environ, SVT_LOG="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True).start()

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())
        lines.put("")

    def ask(self, seed: int) -> str:
        """Return the outcome of ``seed``."""
        assert self._process.stdin is not None
        try:
            print(seed, file=self._process.stdin, flush=True)
            outcome = self._lines.get(timeout=SECONDS_EACH)
        except queue.Empty:
            outcome = f"BUG: hangs, more than {SECONDS_EACH} s"
        except BrokenPipeError:
            outcome = ""
        if outcome and not outcome.startswith("BUG: hangs"):
            return outcome
        self.end()
        code = self._process.returncode
        self._begin()
        return outcome or f"BUG: the interpreter ended with {code}"

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@dataclass
class ScoreAccumulator:
    """The outcomes of all seeds: how often each occurred, and the seeds that found something."""

    outcomes: Counter[str]
    found: dict[int, str]


def fuzz(
    seeds: Iterable[int], folder: Path, *, workers: int = 2, progress: Callable[[int], None] = print
) -> ScoreAccumulator:
    """Run ``seeds`` in ``workers`` processes; ``progress`` is called with the number of seeds done so far."""
    make_originals(folder / "originals")
    waiting: Iterator[int] = iter(list(seeds))
    tally, lock = ScoreAccumulator(Counter(), {}), threading.Lock()

    def work(number: int) -> None:
        worker = Worker(folder / f"worker-{number}", folder / "originals")
        while True:
            with lock:
                seed = next(waiting, None)
            if seed is None:
                return worker.end()
            outcome = worker.ask(seed)
            with lock:
                tally.outcomes[outcome if "BUG" not in outcome else "found"] += 1
                if "BUG" in outcome:
                    tally.found[seed] = outcome
                if tally.outcomes.total() % 100 == 0:
                    progress(tally.outcomes.total())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def main() -> int:
    """Fuzz, and print the findings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone, in this process")
    parser.add_argument("--keep", type=Path, help="with --seed: write the file here")
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        _work(*chosen.worker)
        return 0
    with tempfile.TemporaryDirectory() as name:
        if chosen.seed is not None:
            originals = sorted([path for path in make_originals(Path(name, "originals"))])
            if chosen.keep:
                chosen.keep.write_bytes(mutated(chosen.seed, originals)[1])
            Path(name, "one").mkdir()
            print(
                originals[chosen.seed % len(originals)].name, read_and_write(chosen.seed, originals, Path(name, "one"))
            )
            return 0
        tally = fuzz(range(chosen.first, chosen.first + chosen.count), Path(name))
    for outcome, count in tally.outcomes.most_common():
        print(f"{count:6} {outcome}")
    for seed, outcome in sorted(tally.found.items()):
        print(f"seed {seed}: {outcome}")
    return bool(tally.found)


if __name__ == "__main__":
    sys.exit(main())
