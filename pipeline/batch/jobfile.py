"""Job files: a clip a row, each with its own options; TOML, or CSV with a header.

    [defaults]                 input,style,strength,output
    style = "great-wave"       a.mp4,starry-night,0.8,
    [[clip]]                   b.mp4,great-wave,,first.mp4
    input = "a.mp4"
    strength = 0.8

Paths are relative to the job file; outputs to the batch's folder.
"""

import csv
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pipeline.batch.inputs import Found, find_clips
from pipeline.batch.options import option_named, read_styles
from pipeline.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """One clip that is asked for.

    Attributes:
        found: the clip.
        styles: to paint it in; empty for those of the batch.
        output: name of its output, relative to the batch's folder; None makes one.
        options: of its own, by the names of `pipeline.batch.options.OPTIONS`.
        place: where it is asked for, for messages.
    """

    found: Found
    styles: tuple[str, ...] = ()
    output: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    place: str = ""


def read_job_file(path: Path, output: Path | None = None) -> list[Row]:
    """The rows of a job file.

    Args:
        path: of it; the ending tells TOML from CSV.
        output: folder of the batch, of which nothing is an input.

    Raises:
        InputError: it cannot be read, or a clip that it names is not there.
        ValueError: something in it makes no sense; the first mistakes, with their places.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            entries = list(_csv(path, file) if path.suffix.lower() == ".csv" else _toml(path, file.read()))
    except FileNotFoundError as error:
        raise InputError(path, "there is no such job file; check the path") from error
    except OSError as error:
        raise InputError(path, f"the job file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text in UTF-8 (byte {error.start})") from error
    rows: list[Row] = []
    faults: list[str] = []
    for place, entry in entries:
        try:
            rows.extend(_rows(path, place, entry, output))
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if faults:
        raise ValueError(faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))
    if not rows:
        raise ValueError(f"{path}: names no clip")
    return rows


Entry = tuple[str, dict[str, object]]


def _toml(path: Path, text: str) -> Iterator[Entry]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    unknown = set(data) - {"defaults", "clip"}
    if unknown:
        raise ValueError(f"{path}: there is no {min(unknown)!r}; write [defaults] and [[clip]]")
    defaults, clips = data.get("defaults", {}), data.get("clip", [])
    if not isinstance(defaults, dict) or not isinstance(clips, list) or not all(isinstance(c, dict) for c in clips):
        raise ValueError(f"{path}: write [defaults] once and [[clip]] for each clip")
    for number, clip in enumerate(clips, 1):
        yield f"{path}, clip {number}", {**defaults, **clip}


def _csv(path: Path, lines: Iterator[str]) -> Iterator[Entry]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for values in reader:
            place = f"{path}, line {reader.line_num}"
            if None in values:
                raise ValueError(f"{place}: more values than the header has names")
            yield place, {key: value.strip() for key, value in values.items() if value and value.strip()}
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _rows(path: Path, place: str, entry: dict[str, object], output: Path | None) -> Iterator[Row]:
    options = {key: value for key, value in entry.items() if key not in ("input", "output", "style")}
    options = {option_named(key): value for key, value in options.items()}
    if options.get("mask"):
        options["mask"] = _beside(path, str(options["mask"]))
    if options.get("style_end"):
        options["style_end"] = _style(path, str(options["style_end"]))
    text, own = entry.get("input"), entry.get("output")
    if not isinstance(text, str) or not text:
        raise ValueError("input is missing: the clip to paint")
    if own is not None and (not isinstance(own, str) or _leads_out(own)):
        raise ValueError(f"output {own!r} is no name within the output folder")
    found = find_clips([_beside(path, text)], output)
    if isinstance(own, str) and len(found) > 1:
        raise ValueError(f"output {own!r} is one name for {len(found)} clips")
    for clip in found:
        yield Row(clip, _styles(path, entry.get("style")), own, options, place)


def _styles(path: Path, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"style must be a name or a list of names, not {value!r}")
    return read_styles([_style(path, text) for text in texts])


def _style(path: Path, text: str) -> str:
    """A weight file beside the job file, or as it stands."""
    return _beside(path, text) if os.path.isfile(_beside(path, text.partition("#")[0])) else text


def _beside(path: Path, text: str) -> str:
    return text if os.path.isabs(text) else os.path.join(path.parent, text)


def _leads_out(name: str) -> bool:
    return os.path.isabs(name) or ".." in PurePath(name).parts
