"""Cases that plan batches of odd names, templates and job files: outputs inside their folder, or one of our errors."""

import os
import random
from pathlib import Path

from pipeline.batch.config import BatchConfig
from pipeline.batch.session import plan
from pipeline.errors import PipelineError
from tests.support.fuzz.mutations import MUTATIONS
from tests.support.fuzz.recordings import Recording, record

# fmt: off
STEMS = (
    "a",
    "b c",
    "...",
    "..",
    ".hidden",
    "x..",
    "-o",
    "%s",
    "{stem}",
    "{0}",
    "\u202ea",
    "\x1b[2J",
    "é",
    "CON",
    "a:b",
    "*",
    "[x]",
    "a,b",
    "n" * 230,
)
SUFFIXES = (".mp4", ".mkv", ".ts", "", ".", ".mp4.mp4", ".MP4", ".csv", ".txt")
TEMPLATES = (
    "{stem}_{style}{suffix}",
    "{stem}/p{suffix}",
    "{style}/{stem}{suffix}",
    "{ending}/{stem}.mkv",
    "{stem}{stem}{suffix}",
    "./{stem}{suffix}",
    "{stem!r}{suffix}",
    "{stem:>300}{suffix}",
    "{stem:.9999999999}{suffix}",
    "{stem.__class__}{suffix}",
    "{stem[0]}{suffix}",
    "{}{suffix}",
    "a/../../{stem}{suffix}",
    "{style}/../{stem}{suffix}",
    "\0{stem}{suffix}",
    "{stem}/",
    "report.json",
    ".flowbrush-batch/{stem}{suffix}",
)
VALUES = ('""', '"great-wave"', "0.5", "-1", "1e400", "nan", "true", "[]", '["a", "b"]', "1979-05-27", '"../x.mp4"',
          '"/etc/passwd"', '"a\\u0000b"', "9" * 400)
KEYS = ("input", "output", "style", "strength", "height", "start", "duration", "mask", "codec", "quality", "engine",
        "nonsense", "Style-End", "max_memory", "device")
CELLS = ("", "a.mp4", "great-wave", "0.5", "-1", '"a,b"', "../x.mkv", "*", "nan", "1:23", "9" * 400, "\x00", '"')
# fmt: on


def job_case(chance: random.Random, folder: Path) -> str:
    """Plan a batch; return the outcome, or what is wrong."""
    inputs, words = _make_inputs(chance, folder)
    output = folder / "out"
    template = chance.choice(TEMPLATES[:4] if chance.random() < 0.5 else TEMPLATES)
    place = f"--name {template!r}, {words}"
    faults: list[str] = []
    try:
        config = BatchConfig(
            inputs=inputs, output=output, styles=("great-wave",), name=template, options={"engine": "eager"}
        )
        planned = plan(config)
        outcome = "planned"
        for step in planned.steps:
            target = os.path.realpath(step.job.config.target)
            if not target.startswith(f"{os.path.realpath(output)}/"):
                faults.append(f"{step.job.config.target} is outside")
    except (PipelineError, ValueError) as error:
        outcome = f"planned, {'ValueError' if type(error).__module__ == 'builtins' else type(error).__name__}"
        if type(error).__name__ not in _OURS:
            faults.append(f"{type(error).__name__}: {error}")
    if output.exists():
        faults.append("a plan wrote something")
    return f"BUG: {'; '.join(faults)} ({place})" if faults else outcome


def _config(inputs: tuple[str, ...], output: Path, template: str) -> BatchConfig:
    options = {"engine": "eager"}
    return BatchConfig(inputs=inputs, output=output, styles=("great-wave",), name=template, options=options)


_OURS = ("ValueError", "InputError", "OutputError", "StyleError", "DeviceError")


def _make_inputs(chance: random.Random, folder: Path) -> tuple[tuple[str, ...], str]:
    place = folder / "in"
    place.mkdir()
    names = []
    clip = folder / "clip.mkv"
    record(clip, [Recording(frames=2, sounds=(), width=32, height=32)], form="matroska")
    for _ in range(chance.choice((1, 2, 3))):
        name = (chance.choice(STEMS) + chance.choice(SUFFIXES)).replace("/", "_")
        path = place / name
        if name not in (".", "..") and not path.exists() and len(os.fsencode(name)) < 250:
            path.write_bytes(clip.read_bytes())
            names.append(name)
    clip.unlink()
    extra = _add_trap(chance, place) if chance.random() < 0.4 else "no trap"
    if chance.random() < 0.5:
        return (str(place / _job_file(chance, place, names)),), f"job file, {names}, {extra}"
    text = chance.choice((str(place), f"{place}/*", f"{place}/**/*", f"{place}/**/*.mp4"))
    return (text,), f"{names}, {extra}, input {text.removeprefix(str(folder))}"


def _add_trap(chance: random.Random, place: Path) -> str:
    """Add what makes a walk endless, or blocks it."""
    kind = chance.choice(("loops", "fifo", "link to a fifo", "dangling link", "link to itself", "device", "folder.mp4"))
    if kind == "loops":
        for name in "abc":
            folder = place / f"loop-{name}"
            folder.mkdir()
            for other in "abc":
                (folder / other).symlink_to(place, target_is_directory=True)
    elif kind == "fifo":
        os.mkfifo(place / "fifo.mp4")
    elif kind == "link to a fifo":
        os.mkfifo(place / ".fifo")
        (place / "film.mp4").symlink_to(place / ".fifo")
    elif kind == "dangling link":
        (place / "gone.mp4").symlink_to(place / "nowhere.mp4")
    elif kind == "link to itself":
        (place / "self.mp4").symlink_to(place / "self.mp4")
    elif kind == "device":
        (place / "zero.mp4").symlink_to("/dev/zero")
    else:
        (place / "folder.mp4").mkdir()
    return kind


def _job_file(chance: random.Random, place: Path, names: list[str]) -> str:
    is_csv = chance.random() < 0.5
    text = _csv(chance, names) if is_csv else _toml(chance, names)
    data = bytearray(text.encode("utf-8", "surrogateescape"))
    if chance.random() < 0.4 and data:
        chance.choice(MUTATIONS)(data, chance, [Path(__file__)])
    name = "jobs.csv" if is_csv else "jobs.toml"
    (place / name).write_bytes(data)
    return name


def _toml(chance: random.Random, names: list[str]) -> str:
    lines = []
    if chance.random() < 0.4:
        lines += ["[defaults]", f"{chance.choice(KEYS)} = {chance.choice(VALUES)}"]
    for name in names or ["a.mp4"]:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\x1b", "\\u001b")
        lines += ["[[clip]]", f'input = "{quoted}"']
        lines += [f"{key} = {chance.choice(VALUES)}" for key in chance.sample(KEYS[1:], chance.choice((0, 0, 1, 2)))]
    return "\n".join(lines)


def _csv(chance: random.Random, names: list[str]) -> str:
    header = ["input", *chance.sample(KEYS[1:], chance.choice((0, 1, 2, 3)))]
    rows = [[f'"{name}"', *(chance.choice(CELLS) for _ in header[1:])] for name in names or ["a.mp4"]]
    return "\n".join(",".join(row) for row in (header, *rows))
