"""What is to be painted: a clip in a style, with where its output goes."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from pipeline.batch.config import NAME, STATE_FOLDER, BatchConfig
from pipeline.batch.inputs import JOB_FILES, Found, Note, find_clips
from pipeline.batch.jobfile import Fault, Row, read_job_file, refuse
from pipeline.config import VideoConfig
from pipeline.decode.mask import Mask
from pipeline.errors import OutputError, PipelineError
from pipeline.media.codecs import check_encoder
from pipeline.media.containers import container_for
from pipeline.options import configure, option_named
from pipeline.resume.manifest import LONGEST_NAME_BYTES, SUFFIX
from pipeline.stylize.device import find_device
from pipeline.stylize.style import find_style

# In the batch's folder.
_NOT_FOR_OUTPUTS = (STATE_FOLDER, "report.json", "report.html")
# Holds whatever a clip has; where the clip's own container cannot be written.
_USUAL_SUFFIX = ".mkv"


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


def make_jobs(config: BatchConfig, note: Note = lambda line: None) -> list[Job]:
    """All that is to be painted, in the order in which it was asked for.

    Args:
        config: of the batch.
        note: called with each folder that is left out.

    Raises:
        PipelineError: an input, a mask or a device is not there, or a style is not known.
        ValueError: an option or a job file that makes no sense.
    """
    return without_own_outputs(jobs_of(config, list(_rows(config, note))), config)


def jobs_of(config: BatchConfig, rows: Sequence[Row]) -> list[Job]:
    """The jobs of ``rows``; all mistakes in them are found, and the first is told with its place.

    Raises:
        PipelineError: a style is not known, or a mask or a device is not there.
        ValueError: an option that makes no sense.
    """
    jobs: list[Job] = []
    faults: list[Fault] = []
    found = {"auto", "cpu"}
    for row in rows:
        try:
            for job in _of_row(config, row):
                _find_needed(job.config, found)
                jobs.append(job)
        except (PipelineError, ValueError) as error:
            faults.append((row.place, error))
    refuse(faults)
    return jobs


def video_config(source: str, target: str, options: Mapping[str, object]) -> VideoConfig:
    """Return the configuration of ``flowbrush video SOURCE TARGET`` with ``options``.

    Args:
        source: path of the clip.
        target: path of the output.
        options: values by the names of options, ``style`` included; None and empty text count as not given.

    Raises:
        ValueError: a value is not accepted, or a container, codec, quality or preset does not exist.
    """
    given = {option_named(VideoConfig, name): value for name, value in options.items() if value != ""}
    config = configure(VideoConfig, {**given, "source": source, "target": target})
    container_for(target)
    check_encoder(target, config.encode)
    return config


def check_names(jobs: Sequence[Job]) -> None:
    """Refuse outputs that would take each other's place, or that of an input or a report, or cannot be called so.

    Raises:
        OutputError: which ones.
    """
    sources = {_place(job.config.source) for job in jobs}
    taken: dict[str, Job] = {}
    for job in jobs:
        _check_parts(job)
        place = _place(job.config.target)
        if place in sources:
            raise OutputError(job.config.target, "is an input of the batch; choose another --output or --name")
        other = taken.setdefault(place, job)
        if other is not job:
            raise OutputError(job.config.target, f"would be the output of {_both(other, job)}")


def without_own_outputs(jobs: Sequence[Job], config: BatchConfig) -> list[Job]:
    """``jobs`` without those of clips found in a folder that are outputs of the batch, made before or to be made."""
    from pipeline.batch.records import recorded_outputs

    made = {_place(path) for path in recorded_outputs(config.state_folder)}
    made |= {_place(job.config.target) for job in jobs}
    return [job for job in jobs if job.is_named or _place(job.config.source) not in made]


def output_name(found: Found, style: str, style_end: str | None, name: str = NAME) -> str:
    """The name of an output, relative to the batch's folder."""
    path = PurePath(found.path)
    style = _in_names(find_style(style, style_end).name)
    named = name.format(stem=path.stem, style=style, suffix=_suffix(path), ending=path.suffix.removeprefix("."))
    return str(found.folder / named)


def _rows(config: BatchConfig, note: Note) -> Iterator[Row]:
    clips = [text for text in config.inputs if not _is_job_file(text)]
    for found in find_clips(clips, config.output, note=note) if clips else ():
        yield Row(found)
    for text in config.inputs:
        if _is_job_file(text):
            yield from read_job_file(Path(text), config.output, note)


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


def _find_needed(config: VideoConfig, found: set[str]) -> None:
    """Look for what a job needs and is not in ``found`` yet, to which it is added.

    Raises:
        PipelineError: it is not there.
    """
    device, mask = config.stylize.device, config.mask
    if device not in found:
        find_device(device)
        found.add(device)
    if mask is not None and mask not in found:
        Mask(mask, width=16, height=16).close()
        found.add(mask)


def _check_parts(job: Job) -> None:
    parts = PurePath(os.path.normpath(job.name)).parts
    if os.path.normcase(parts[0].removesuffix(".part")) in _NOT_FOR_OUTPUTS or any(p.endswith(SUFFIX) for p in parts):
        raise OutputError(job.config.target, "lies where reports and unfinished work are kept; choose another --name")
    if any(len(os.fsencode(part)) > LONGEST_NAME_BYTES for part in parts):
        reason = f"its name is longer than the {LONGEST_NAME_BYTES} bytes that file systems take"
        raise OutputError(job.config.target, f"{reason}; choose a shorter --name, or rename the clip")


def _both(one: Job, other: Job) -> str:
    """Two jobs with the same output, and what would tell them apart."""
    first, second = PurePath(one.config.source), PurePath(other.config.source)
    if first == second:
        styles = f"in {one.config.stylize.style} and in {other.config.stylize.style}"
        return f"{first} {styles}; choose a --name with {{style}}"
    if first.with_suffix("") == second.with_suffix(""):
        return f"{first} and {second}; choose a --name with {{ending}}, as {{stem}}-{{ending}}_{{style}}{{suffix}}"
    hint = "choose a --name with {stem}, {style} and {suffix}, or another folder for some"
    return f"{first} and {second}; {hint}"


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
