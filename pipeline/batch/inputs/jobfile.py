"""Job files: clips with their own options, as TOML or as CSV with a header.

    [defaults]                 input,style,strength,output
    style = "great-wave"       a.mp4,starry-night,0.8,
    [[clip]]                   b.mp4,great-wave,,first.mp4
    input = "a.mp4"
    strength = 0.8

Each clip takes the options of ``flowbrush video``. Paths are relative to the job file, outputs to the output folder.
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

from pipeline.batch.config import read_style_images, read_styles
from pipeline.batch.inputs.clips import InputFile, find_clips
from pipeline.config import VideoConfig
from pipeline.config.mask_spec import parse_mask
from pipeline.config.options import option_named
from pipeline.config.style_spec import rename_styles
from pipeline.errors import InputError, PipelineError
from pipeline.notices import Notify

Fault = tuple[str, PipelineError | ValueError]
"""A place in a job file, or nothing, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Row:
    """A clip that a batch is asked to stylize.

    Attributes:
        file: the clip.
        styles: the styles to stylize it in; empty for those of the batch.
        output: name of the output, relative to the output folder; None for the batch's template.
        options: options of ``flowbrush video`` for this clip, by name.
        place: the line or entry of the job file, for messages.
    """

    file: InputFile
    styles: tuple[str, ...] = ()
    output: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    place: str = ""


def read_job_file(path: Path, output: Path | None = None, notify: Notify = lambda line: None) -> list[Row]:
    """Return the clips of a job file. All of them are checked before the first error is raised.

    Args:
        path: the job file; the suffix ``.csv`` selects CSV, any other TOML.
        output: output folder of the batch; files in it are not inputs.
        notify: called with a line for each folder that is skipped.

    Raises:
        InputError: the job file, or a clip in it, cannot be read.
        ValueError: the syntax, an option or a name is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            entries = list(_csv(path, file) if path.suffix.lower() == ".csv" else _toml(path, file.read()))
    except FileNotFoundError as error:
        raise InputError(path, "there is no such job file; check the path") from error
    except OSError as error:
        raise InputError(path, f"the job file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    rows: list[Row] = []
    faults: list[Fault] = []
    for place, defaults, values in entries:
        try:
            rows.extend(_rows(path, place, _combined(defaults, _named(values)), output, notify))
        except (PipelineError, ValueError) as error:
            faults.append((place, error))
    raise_first(faults)
    if not rows:
        raise ValueError(f"{path}: no clips; add a row or a [[clip]] with an input")
    return rows


def raise_first(faults: Sequence[Fault]) -> None:
    """Raise the first of ``faults`` with its place and the number of others; equal ones at one place count once."""
    texts = list(dict.fromkeys(f"{place}: {error}" if place else str(error) for place, error in faults))
    if not texts:
        return
    _, first = faults[0]
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    raised = copy(first) if isinstance(first, PipelineError) else ValueError()
    raised.args = (f"{texts[0]}{more}",)
    raise raised from first


Entry = tuple[str, Mapping[str, object], Mapping[str, object]]
"""A place in a job file, the defaults by name, and the values there by their keys."""


def _toml(path: Path, text: str) -> Iterator[Entry]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    unknown = set(data) - {"defaults", "clip"}
    if unknown:
        raise ValueError(f"{path}: {min(unknown)!r} is unknown; write [defaults] and [[clip]]")
    defaults, clips = data.get("defaults", {}), data.get("clip", [])
    if not isinstance(defaults, dict) or not isinstance(clips, list) or not all(isinstance(c, dict) for c in clips):
        raise ValueError(f"{path}: write [defaults] once and [[clip]] for each clip")
    common = _named(defaults, f"{path}, defaults: ")
    for number, clip in enumerate(clips, 1):
        yield f"{path}, clip {number}", common, clip


def _csv(path: Path, lines: Iterator[str]) -> Iterator[Entry]:
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if not any(value.strip() for value in row):
                continue
            if not names:
                names = _names(row, f"{place}: ")
                continue
            values = {name: value.strip() for name, value in zip_longest(names, row, fillvalue="") if value.strip()}
            if "" in values:
                raise ValueError(f"{place}: more values than the header has names")
            yield place, {}, values
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _named(values: Mapping[str, object], place: str = "") -> dict[str, object]:
    return dict(zip(_names(list(values), place), values.values(), strict=True))


def _names(keys: Sequence[str], place: str = "") -> list[str]:
    """``input``, ``output`` or the name of an option for each key; empty for an empty column of a spreadsheet."""
    names: list[str] = []
    for key in keys:
        name = key.strip().lower()
        try:
            name = name if name in ("input", "output", "") else option_named(VideoConfig, key)
        except ValueError as error:
            raise ValueError(f"{place}{error}") from error
        if name and name in names:
            raise ValueError(f"{place}{key.strip()!r} is given twice")
        names.append(name)
    return names


def _combined(defaults: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Return the values with the defaults; a style or a style image of the clip replaces either of the defaults."""
    own = {"style", "style_image"} if {"style", "style_image"} & values.keys() else set()
    return {**{name: value for name, value in defaults.items() if name not in own}, **values}


def _rows(path: Path, place: str, values: Mapping[str, object], output: Path | None, notify: Notify) -> Iterator[Row]:
    options = dict(values)
    text, name, style, image = (options.pop(each, None) for each in ("input", "output", "style", "style_image"))
    mask, style_end = options.get("mask"), options.get("style_end")
    if isinstance(mask, str) and mask and parse_mask(mask) is None:
        options["mask"] = _relative_to(path, mask)
    if isinstance(style_end, str) and style_end:
        options["style_end"] = _resolve_style(path, style_end)
    if options.get("loss_weights"):
        options["loss_weights"] = [_relative_to(path, each) for each in _texts(options["loss_weights"], "loss weights")]
    if not isinstance(text, str) or not text:
        raise ValueError("input is missing; name the clip to stylize")
    if name is not None and (not isinstance(name, str) or os.path.isabs(name) or ".." in PurePath(name).parts):
        raise ValueError(f"output {name!r} must be a name within the output folder")
    files = find_clips([text], output, base=str(path.parent), notify=notify)
    if name is not None and len(files) > 1:
        raise ValueError(f"output {name!r} is one name for {len(files)} clips")
    styles = read_styles(_resolve_style(path, text) for text in _texts(style, "style"))
    styles += read_style_images(_resolve_pictures(path, text) for text in _texts(image, "style image"))
    for file in files:
        yield Row(file, styles, name, options, place)


def _texts(value: object, what: str) -> list[str]:
    if value is None or value == "":
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"{what} must be a name or a list of names, not {value!r}")
    return texts


def _resolve_pictures(path: Path, text: str) -> str:
    folder = _relative_to(path, text)
    return folder if os.path.isdir(folder) else _resolve_style(path, text)


def _resolve_style(path: Path, text: str) -> str:
    """The style with its files found beside the job file, if they exist there; file names may have commas."""
    is_one = "," not in text.partition("#")[2] and _resolve_file(path, text) != text
    return _resolve_file(path, text) if is_one else rename_styles(text, partial(_resolve_file, path))


def _resolve_file(path: Path, style: str) -> str:
    return _relative_to(path, style) if os.path.isfile(_relative_to(path, style.partition("#")[0])) else style


def _relative_to(path: Path, text: str) -> str:
    return os.path.join(path.parent, text)  # an absolute text stays as it is
