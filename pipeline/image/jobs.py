"""Which pictures are read, and which file each becomes."""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch.inputs.clips import InputFile, find_clips
from pipeline.errors import InputError, OutputError
from pipeline.image.config import ImageConfig
from pipeline.media.photo.writer import FORMAT_OF_SUFFIX, SUFFIX_OF_FORMAT
from pipeline.media.stills import IMAGE_SUFFIXES, check_image_target
from pipeline.notices import Notify
from pipeline.system.files.names import is_inside, why_outside, why_taken

# Endings of files in a folder that are pictures; other files there are ignored.
PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".gif"}


@dataclass(frozen=True, slots=True)
class PictureJob:
    """One picture to stylize.

    Attributes:
        source: the file to read.
        target: the file to write.
        root: folder that the user named and that no link may lead out of; None for a file that the user named.
        output_folder: folder that no link may lead out of either; None if the user named the file to write.
    """

    source: Path
    target: Path
    root: str | None = None
    output_folder: Path | None = None

    def check(self) -> None:
        """Check that links lead the picture neither in from elsewhere nor out to elsewhere.

        Raises:
            PipelineError: they do.
        """
        if reason := why_outside(self.source, self.root):
            raise InputError(self.source, reason)
        if self.output_folder is not None and not is_inside(self.target.parent, self.output_folder):
            raise OutputError(self.target, f"a link leads out of {self.output_folder}; remove it")


def make_jobs(config: ImageConfig, notify: Notify) -> list[PictureJob]:
    """Return a job for each picture, in the order of the inputs.

    Raises:
        InputError: an input does not exist, or there is no picture.
        OutputError: the output cannot be written, is an input, or two pictures would become one file.
        ValueError: several pictures need a folder, or a format needs one.
    """
    is_folder = _is_folder(config)
    files = [file for file in find_clips(config.inputs, Path(config.output), notify=notify) if _is_picture(file)]
    if not files:
        raise InputError(", ".join(config.inputs), "has no pictures (JPEG, PNG, WebP, TIFF, BMP, GIF); check the path")
    if is_folder:
        jobs = [_in_folder(file, config) for file in files]
    else:
        target = Path(config.output)
        check_image_target(target, overwrite=config.overwrite, what="picture", endings=FORMAT_OF_SUFFIX.keys())
        jobs = [PictureJob(Path(files[0].path), target)]
    _check_targets(jobs, files)
    return jobs


def is_done(job: PictureJob, config: ImageConfig) -> bool:
    """Return whether the output of a picture in a folder exists already and stays."""
    return job.output_folder is not None and not config.overwrite and bool(why_taken(job.target))


def _is_folder(config: ImageConfig) -> bool:
    output, inputs = config.output, config.inputs
    names_a_file = Path(output).suffix.lower() in PICTURE_SUFFIXES and not os.path.isdir(output)
    is_plain_file = len(inputs) == 1 and os.path.isfile(inputs[0])
    names_many = not is_plain_file and (
        len(inputs) > 1 or inputs[0] == "-" or os.path.isdir(inputs[0]) or glob.has_magic(inputs[0])
    )
    is_folder = os.path.isdir(output) or output.endswith(("/", os.sep)) or not Path(output).suffix or names_many
    if names_many and names_a_file:
        raise ValueError(f"several pictures need a folder as the output, not {output}")
    if config.format is not None and not is_folder:
        raise ValueError("--format is for an output folder; the ending of the output chooses its format")
    if is_folder and os.path.lexists(output.rstrip("/" + os.sep)) and not os.path.isdir(output):
        raise OutputError(output, "is a file; give a folder")
    return is_folder


def _is_picture(file: InputFile) -> bool:
    """Return whether a file is read: one that the user named always is."""
    return file.is_named or Path(file.path).suffix.lower() in PICTURE_SUFFIXES


def _in_folder(file: InputFile, config: ImageConfig) -> PictureJob:
    path, output = Path(file.path), Path(config.output)
    suffix = path.suffix if path.suffix.lower() in FORMAT_OF_SUFFIX else ".png"
    if config.format is not None and FORMAT_OF_SUFFIX.get(path.suffix.lower()) != config.format:
        suffix = SUFFIX_OF_FORMAT[config.format]
    return PictureJob(path, output / file.folder / f"{path.stem}{suffix}", file.root, output)


def _check_targets(jobs: Sequence[PictureJob], files: Iterable[InputFile]) -> None:
    """Check that no picture is written over an input, nor two over each other.

    Raises:
        OutputError: one would be.
    """
    inputs = {os.path.realpath(file.path): file.path for file in files}
    sources: dict[str, Path] = {}
    for job in jobs:
        place = os.path.normcase(os.path.realpath(job.target))
        if place in inputs:
            raise OutputError(job.target, "is an input; give another folder or name")
        if place in sources:
            both = f"{sources[place]} and {job.source}"
            raise OutputError(job.target, f"{both} would both become this file; name folders apart, or rename one")
        sources[place] = job.source
