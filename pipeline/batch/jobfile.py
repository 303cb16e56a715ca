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
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePath

from pipeline.batch.config import read_styles
from pipeline.batch.inputs import InputFile, find_clips
from pipeline.config import VideoConfig
from pipeline.errors import InputError, PipelineError
from pipeline.options import option_named
from pipeline.style_spec import rename_styles
from pipeline.summary import Notify


@dataclass(frozen=True, slots=True)
class Row:
    """One clip that is asked for.

    Attributes:
        file: the clip.
        styles: to paint it in; empty for those of the batch.
        output: name of its output, relative to the batch's folder; None makes one.
        options: options of ``flowbrush video`` for this clip, by name.
        place: where it is asked for, for messages.
    """

    file: InputFile
    styles: tuple[str, ...] = ()
    output: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    place: str = ""


def read_job_file(path: Path, output: Path | None = None, notify: Notify = lambda line: None) -> list[Row]:
    """The rows of a job file.

    Args:
        path: of it; the ending tells TOML from CSV.
        output: folder of the batch, of which nothing is an input.
        notify: called with a line for each folder that is skipped.

    Raises:
        InputError: it cannot be read, or a clip that it names is not there; of several mistakes the first is told, with
            its place.
        ValueError: something in it makes no sense; the same.
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
    faults: list[Fault] = []
    for entry in entries:
        try:
            rows.extend(_rows(path, entry, output, notify))
        except (PipelineError, ValueError) as error:
            faults.append((entry.place, error))
    refuse(faults)
    if not rows:
        raise ValueError(f"{path}: names no clip")
    return rows


Fault = tuple[str, PipelineError | ValueError]


def refuse(faults: Sequence[Fault]) -> None:
    """Raise the first of ``faults`` with its place, and with how many others there are; without any do nothing.

    Args:
        faults: places, which may be empty, and what is wrong there. The same at the same place counts once.
    """
    texts = list(dict.fromkeys(f"{place}: {error}" if place else str(error) for place, error in faults))
    if not texts:
        return
    _, first = faults[0]
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    told = copy(first) if isinstance(first, PipelineError) else ValueError()
    told.args = (f"{texts[0]}{more}",)
    raise told from first


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one place.

    Attributes:
        place: of it.
        values: by their keys, as they are written.
        defaults: by what their keys mean; ``values`` come before them.
    """

    place: str
    values: Mapping[str, object]
    defaults: Mapping[str, object] = field(default_factory=dict)


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
    common = _named(defaults, f"{path}, defaults: ")
    for number, clip in enumerate(clips, 1):
        yield Entry(f"{path}, clip {number}", clip, common)


def _csv(path: Path, lines: Iterator[str]) -> Iterator[Entry]:
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    try:
        for values in reader:
            place = f"{path}, line {reader.line_num}"
            if not any(value.strip() for value in values):
                continue
            if not names:
                names = _names(values, f"{place}: ")
                continue
            entry = {name: value.strip() for name, value in zip_longest(names, values, fillvalue="") if value.strip()}
            if "" in entry:
                raise ValueError(f"{place}: more values than the header has names")
            yield Entry(place, entry)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _named(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    return dict(zip(_names(list(values), prefix), values.values(), strict=True))


def _names(keys: Sequence[str], prefix: str = "") -> list[str]:
    """What ``keys`` mean: ``input``, ``output``, an option; or nothing, where a spreadsheet has an empty column."""
    names: list[str] = []
    for key in keys:
        name = key.strip().lower()
        try:
            name = name if name in ("input", "output", "") else option_named(VideoConfig, key)
        except ValueError as error:
            raise ValueError(f"{prefix}{error}") from error
        if name and name in names:
            raise ValueError(f"{prefix}{key.strip()!r} is given twice")
        names.append(name)
    return names


def _rows(path: Path, entry: Entry, output: Path | None, notify: Notify) -> Iterator[Row]:
    options = {**entry.defaults, **_named(entry.values)}
    text, own, style = (options.pop(name, None) for name in ("input", "output", "style"))
    mask, style_end = options.get("mask"), options.get("style_end")
    if isinstance(mask, str) and mask:
        options["mask"] = _beside(path, mask)
    if isinstance(style_end, str) and style_end:
        options["style_end"] = _style(path, style_end)
    if not isinstance(text, str) or not text:
        raise ValueError("input is missing: the clip to paint")
    if own is not None and (not isinstance(own, str) or _leads_out(own)):
        raise ValueError(f"output {own!r} is no name within the output folder")
    found = find_clips([text], output, base=str(path.parent), notify=notify)
    if isinstance(own, str) and len(found) > 1:
        raise ValueError(f"output {own!r} is one name for {len(found)} clips")
    for clip in found:
        yield Row(clip, _styles(path, style), own, options, entry.place)


def _styles(path: Path, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"style must be a name or a list of names, not {value!r}")
    return read_styles([_style(path, text) for text in texts])


def _style(path: Path, text: str) -> str:
    """Its weight files, where they lie beside the job file; or as it stands."""
    is_one = "," not in text.partition("#")[2] and _weights(path, text) != text  # whatever stands in the file's name
    return _weights(path, text) if is_one else rename_styles(text, partial(_weights, path))


def _weights(path: Path, style: str) -> str:
    return _beside(path, style) if os.path.isfile(_beside(path, style.partition("#")[0])) else style


def _beside(path: Path, text: str) -> str:
    return text if os.path.isabs(text) else os.path.join(path.parent, text)


def _leads_out(name: str) -> bool:
    return os.path.isabs(name) or ".." in PurePath(name).parts
