"""What is to be painted: a clip in a style, with where its output goes."""

import os
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pipeline.batch.inputs import JOB_FILES, STATE_FOLDER, Found, find_clips
from pipeline.batch.jobfile import Row, read_job_file
from pipeline.batch.options import video_config
from pipeline.codecs import container_for
from pipeline.config import VideoConfig
from pipeline.errors import OutputError
from pipeline.look import find_style

NAME = "{stem}_{style}{suffix}"
NAME_FIELDS = ("stem", "style", "suffix")
# Holds whatever a clip has; where the clip's own container cannot be written.
_USUAL_SUFFIX = ".mkv"


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """A whole batch.

    Attributes:
        inputs: files, folders, patterns, ``-`` for a list on standard input, or job files (``.toml``, ``.csv``).
        output: folder of the outputs; made where it is missing.
        styles: each clip is painted in each of them; empty where job files name them.
        name: of outputs, with ``{stem}``, ``{style}`` and ``{suffix}``.
        options: of `flowbrush video` for all clips, by the names of `pipeline.batch.options.OPTIONS`.
        keep_going: whether the others are painted where one fails.
        watch: whether to keep looking for new clips in the folders.
        workers: how many processes paint; None for one for each GPU, and one on a CPU.

    Raises:
        ValueError: a name that cannot be made, nothing to watch, or no worker.
    """

    inputs: tuple[str, ...]
    output: Path
    styles: tuple[str, ...] = ()
    name: str = NAME
    options: Mapping[str, object] = field(default_factory=dict)
    keep_going: bool = True
    watch: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("give at least one file, folder, pattern or job file")
        check_name(self.name)
        if self.watch and not any(os.path.isdir(text) for text in self.inputs):
            raise ValueError("--watch needs a folder to look at")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be 1 or more, not {self.workers}")

    @property
    def state_folder(self) -> Path:
        """Where is noted what was done."""
        return self.output / STATE_FOLDER


@dataclass(frozen=True, slots=True)
class Job:
    """One clip in one style.

    Attributes:
        name: of the output, relative to the batch's folder: by this people know it.
        config: of the run that paints it.
        is_named: whether its clip was asked for by name, and is an error where it is no video.
    """

    name: str
    config: VideoConfig
    is_named: bool = True


def make_jobs(config: BatchConfig) -> list[Job]:
    """All that is to be painted, in the order in which it was asked for.

    Raises:
        InputError: an input is not there.
        StyleError: a style is not known.
        ValueError: an option or a job file that makes no sense; the first mistakes, with their places.
    """
    return without_own_outputs(jobs_of(config, list(_rows(config))), config)


def jobs_of(config: BatchConfig, rows: Sequence[Row]) -> list[Job]:
    """The jobs of ``rows``; all mistakes in them are found, and the first ones told.

    Raises:
        StyleError: a style is not known.
        ValueError: an option that makes no sense.
    """
    jobs: list[Job] = []
    faults: list[str] = []
    for row in rows:
        try:
            jobs.extend(_of_row(config, row))
        except ValueError as error:
            faults.append(f"{row.place}: {error}" if row.place else str(error))
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}")
    return jobs


def check_name(name: str) -> None:
    """Find out whether outputs can be named so.

    Raises:
        ValueError: they cannot.
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise ValueError(f"name {name!r} cannot be read ({error})") from error
    unknown = [field for field in fields if field not in NAME_FIELDS]
    if unknown:
        known = ", ".join(f"{{{field}}}" for field in NAME_FIELDS)
        raise ValueError(f"name {name!r}: there is no {{{unknown[0]}}}; use {known}")
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"name {name!r} leads out of the output folder")


def check_names(jobs: Sequence[Job]) -> None:
    """Refuse outputs that would take each other's place, or that of an input.

    Raises:
        OutputError: which ones.
    """
    sources = {_place(job.config.source) for job in jobs}
    taken: dict[str, Job] = {}
    for job in jobs:
        place = _place(job.config.target)
        if place in sources:
            raise OutputError(job.config.target, "is an input of the batch; choose another --output or --name")
        other = taken.setdefault(place, job)
        if other is not job:
            both = f"{other.config.source} and {job.config.source}"
            if other.config.source == job.config.source:
                both = f"{job.config.source} in {other.config.stylize.style} and in {job.config.stylize.style}"
            hint = "choose a --name with {stem}, {style} and {suffix}, or another folder for some"
            raise OutputError(job.config.target, f"would be the output of {both}; {hint}")


def without_own_outputs(jobs: Sequence[Job], config: BatchConfig) -> list[Job]:
    """``jobs`` without those of clips found in a folder that are outputs of the batch, made before or to be made."""
    from pipeline.batch.records import recorded_outputs

    made = {_place(path) for path in recorded_outputs(config.state_folder)}
    made |= {_place(job.config.target) for job in jobs}
    return [job for job in jobs if job.is_named or _place(job.config.source) not in made]


def output_name(found: Found, style: str, style_end: str | None, name: str = NAME) -> str:
    """The name of an output, relative to the batch's folder."""
    path = PurePath(found.path)
    named = name.format(stem=path.stem, style=_in_names(find_style(style, style_end).name), suffix=_suffix(path))
    return str(found.folder / named)


def _rows(config: BatchConfig) -> Iterator[Row]:
    clips = [text for text in config.inputs if not _is_job_file(text)]
    for found in find_clips(clips, config.output) if clips else ():
        yield Row(found)
    for text in config.inputs:
        if _is_job_file(text):
            yield from read_job_file(Path(text), config.output)


def _is_job_file(text: str) -> bool:
    return PurePath(text).suffix.lower() in JOB_FILES and not os.path.isdir(text) and "*" not in text


def _of_row(config: BatchConfig, row: Row) -> Iterator[Job]:
    options = {**config.options, **row.options}
    styles = row.styles or config.styles
    if not styles:
        raise ValueError("a style is missing; give --style, or a style to each clip of the job file")
    if row.output is not None and len(styles) > 1:
        raise ValueError("an output of its own takes one style")
    for style in styles:
        end = options.get("style_end") or None
        name = output_name(row.found, style, str(end) if end else None, config.name)
        if row.output is not None:
            name = row.output
        target = str(config.output / name)
        yield Job(name, video_config(row.found.path, target, {**options, "style": style}), row.found.is_named)


def _in_names(style: str) -> str:
    """A style's name as part of a file's: no character that a file system or a shell would stumble over."""
    text = style.replace(" -> ", "-to-").replace(",", "+").replace(":", "-")
    return re.sub(r"[^\w.+-]+", "-", PurePath(text).name).strip("-.") or "style"


def _suffix(path: PurePath) -> str:
    try:
        container_for(path.name)
    except ValueError:
        return _USUAL_SUFFIX
    return path.suffix


def _place(path: str | Path) -> str:
    return os.path.normcase(os.path.realpath(path))
