"""The jobs of a batch: each is a clip in a style, with its output."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from pipeline.batch.config import NAME, STATE_FOLDER, BatchConfig
from pipeline.batch.inputs.clips import JOB_FILES, InputFile, find_clips
from pipeline.batch.inputs.jobfile import Fault, Row, raise_first, read_job_file
from pipeline.config import VideoConfig
from pipeline.config.options import configure, option_named
from pipeline.config.style_spec import has_picture
from pipeline.decode.masks.mask import make_mask
from pipeline.errors import InputError, OutputError, PipelineError
from pipeline.media.codecs import check_encoder
from pipeline.media.containers import container_for
from pipeline.media.image_sequence import find_sequence
from pipeline.notices import Notify
from pipeline.resume.work_folder.manifest import LONGEST_NAME_BYTES, SUFFIX
from pipeline.stylize.device import find_device
from pipeline.stylize.style import find_style
from pipeline.system.files.names import is_inside, why_outside
from pipeline.system.urls import is_url
from pipeline.tracking.key_frames import find_key_frames

_RESERVED_NAMES = (STATE_FOLDER, "report.json", "report.html")
_FOR_PICTURES = ("paint", "stillness", "refine", "loss_weights")
# For clips whose own container cannot be written: it supports whatever a clip has.
_DEFAULT_SUFFIX = ".mkv"


@dataclass(frozen=True, slots=True)
class Job:
    """One clip in one style.

    Attributes:
        name: name of the output, relative to the output folder; it identifies the job for users.
        config: configuration of the run.
        root: folder that the user named and that no link may lead out of; None if the user named the clip.
    """

    name: str
    config: VideoConfig
    root: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether the user named the clip, so that it is an error if it is no video."""
        return self.root is None

    @property
    def is_led_out(self) -> bool:
        """Whether a link in the output folder leads the output out of it."""
        if is_url(self.config.target):
            return False
        folder = Path(self.config.target).parents[len(PurePath(self.name).parts) - 1]
        return not is_inside(self.config.target, folder)

    def check_source(self) -> None:
        """Check that the clip still lies in the folder in which it was found; called whenever it is opened.

        Raises:
            InputError: a link leads out of that folder.
        """
        if reason := why_outside(self.config.source, self.root):
            raise InputError(self.config.source, reason)


def make_jobs(config: BatchConfig, notify: Notify = lambda line: None) -> list[Job]:
    """Return all jobs of a batch in the order of its inputs.

    Args:
        config: configuration of the batch.
        notify: called with a line for each folder that is skipped.

    Raises:
        PipelineError: an input, a style, a mask or a device is not available.
        ValueError: an option or a job file is invalid.
    """
    return jobs_of(config, list(_rows(config, notify)))


def jobs_of(config: BatchConfig, rows: Sequence[Row]) -> list[Job]:
    """Return the jobs of ``rows``. All rows are checked before the first error is raised.

    Raises:
        PipelineError: a style, a mask or a device is not available.
        ValueError: an option is invalid.
    """
    jobs: list[Job] = []
    faults: list[Fault] = []
    available = {"auto", "cpu"}
    if config.cluster is not None:  # its machines have their own devices
        available |= {str(row.options.get("device", config.options.get("device"))) for row in rows}
    for row in rows:
        try:
            for job in _jobs_of_row(config, row):
                _check_available(job.config, available)
                jobs.append(job)
        except (PipelineError, ValueError) as error:
            faults.append((row.place, error))
    raise_first(faults)
    _check_key_frames(jobs)
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
    """Check that no output replaces another one, an input or a report, and that all names are allowed.

    Raises:
        OutputError: the first output whose name is not allowed.
    """
    sources = {canonical_path(job.config.source) for job in jobs}
    taken: dict[str, Job] = {}
    for job in jobs:
        _check_name_parts(job)
        place = canonical_path(job.config.target)
        if place in sources:
            raise OutputError(job.config.target, "is an input of the batch; choose another --output or --name")
        other = taken.setdefault(place, job)
        if other is not job:
            raise OutputError(job.config.target, f"would be the output of {_name_both(other, job)}")


def output_name(file: InputFile, style: str, style_end: str | None, name: str = NAME) -> str:
    """Return the name of an output, relative to the output folder."""
    sequence = None if is_url(file.path) else find_sequence(file.path)
    path = PurePath(file.path if sequence is None else f"{sequence.title}.mp4")
    style = _file_name(find_style(style, style_end).name)
    filled = name.format(stem=path.stem, style=style, suffix=_suffix(path), ending=path.suffix.removeprefix("."))
    # The stem of a clip named ...mp4 is the name of the folder above; one clip of a stranger must not end the batch.
    filled = "/".join(f"_{part}" if part == ".." else part for part in filled.split("/"))
    return str(file.folder / filled)


def _rows(config: BatchConfig, notify: Notify) -> Iterator[Row]:
    clips = [text for text in config.inputs if not _is_job_file(text)]
    for file in find_clips(clips, config.output, notify=notify) if clips else ():
        yield Row(file)
    for text in config.inputs:
        if _is_job_file(text):
            yield from read_job_file(Path(text), config.output, notify)


def _is_job_file(text: str) -> bool:
    return PurePath(text).suffix.lower() in JOB_FILES and not os.path.isdir(text) and "*" not in text


def _jobs_of_row(config: BatchConfig, row: Row) -> Iterator[Job]:
    options = {**config.options, **row.options}
    styles = row.styles or config.styles
    if not styles:
        raise ValueError("a style is missing; give --style, --style-image, or a style to each clip of the job file")
    if row.output is not None and len(styles) > 1:
        raise ValueError("an output name takes a single style")
    end = str(options.get("style_end") or "") or None
    are_mixed = any(map(has_picture, styles))  # then dials and refinement are for the pictures among the styles
    if options.get("method") == "optimize":
        raise ValueError("--method optimize takes minutes a frame and is not for a batch; use flowbrush video")
    for style in styles:
        name = row.output
        if name is None:
            name = output_name(row.file, style, end, config.name)
        target = config.target(name)
        given = options | dict.fromkeys(_FOR_PICTURES) if are_mixed and not has_picture(style, end) else options
        yield Job(name, video_config(row.file.path, target, {**given, "style": style}), row.file.root)


def _check_available(config: VideoConfig, available: set[str]) -> None:
    """Check that the device and the mask of a job are available, and add them to ``available``.

    Raises:
        PipelineError: one is not available.
    """
    device, mask = config.stylize.device, config.mask
    if device not in available:
        find_device(device)
        available.add(device)
    if mask is not None and mask not in available:
        if config.mask_track:
            find_key_frames(mask)
        else:
            make_mask(mask, width=16, height=16).close()
        available.add(mask)


def _check_name_parts(job: Job) -> None:
    parts = PurePath(os.path.normpath(job.name)).parts
    if ".." in PurePath(job.name).parts or os.path.isabs(job.name):
        raise OutputError(job.config.target, "leads out of the output folder; choose another --name")
    if not parts or job.name.endswith("/"):
        raise OutputError(job.config.target, "is a folder; choose a --name with {stem} and {suffix}")
    if os.path.normcase(parts[0].removesuffix(".part")) in _RESERVED_NAMES or any(p.endswith(SUFFIX) for p in parts):
        raise OutputError(job.config.target, "is reserved for reports and unfinished work; choose another --name")
    if any(len(os.fsencode(part)) > LONGEST_NAME_BYTES for part in parts):
        reason = f"its name is longer than the {LONGEST_NAME_BYTES} bytes that file systems support"
        raise OutputError(job.config.target, f"{reason}; choose a shorter --name, or rename the clip")


def _name_both(one: Job, other: Job) -> str:
    """Name two jobs with the same output, and a template that gives them different ones."""
    first, second = PurePath(one.config.source), PurePath(other.config.source)
    if first == second:
        one_style, other_style = one.config.stylize.style, other.config.stylize.style
        are_alike = find_style(one_style).name == find_style(other_style).name
        hint = "rename one of the style's files" if are_alike else "choose a --name with {style}"
        return f"{first} in {one_style} and in {other_style}; {hint}"
    if first.with_suffix("") == second.with_suffix(""):
        return f"{first} and {second}; choose a --name with {{ending}}, as {{stem}}-{{ending}}_{{style}}{{suffix}}"
    hint = "choose a --name with {stem}, {style} and {suffix}, or another folder for some"
    return f"{first} and {second}; {hint}"


def _file_name(style: str) -> str:
    """Return a style's name without the characters that file systems or shells treat specially."""
    text = style.replace(" -> ", "-to-").replace(",", "+").replace(":", "-")
    return re.sub(r"[^\w.+-]+", "-", PurePath(text).name).strip("-.") or "style"


def _suffix(path: PurePath) -> str:
    try:
        container_for(path.name)
    except ValueError:
        return _DEFAULT_SUFFIX
    return path.suffix


def canonical_path(path: str | Path) -> str:
    """Return the one name of a file, a URL itself: without links, in lower case where the file system ignores case."""
    return str(path) if is_url(path) else os.path.normcase(os.path.realpath(path))


def _check_key_frames(jobs: Sequence[Job]) -> None:
    """Check that no two clips share key frames.

    Raises:
        ValueError: two do.
    """
    sources: dict[str, str] = {}
    for config in (job.config for job in jobs if job.config.mask_track):
        other = sources.setdefault(config.mask or "", config.source)
        if other != config.source:
            raise ValueError(
                f"--mask-track: {config.mask} would be of the frames of {other} and of {config.source}; give each clip "
                "key frames of its own in a job file"
            )
