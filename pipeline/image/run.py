"""Stylize pictures: read -> stylize -> write. Start reading here."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pipeline.errors import OutputError, PipelineError, StyleError
from pipeline.image.config import ImageConfig
from pipeline.image.jobs import PictureJob, is_done, make_jobs
from pipeline.image.stylize import PictureStylizer
from pipeline.image.summary import ImageSummary, PictureResult
from pipeline.media.photo.photo import Photo
from pipeline.media.photo.reader import read_photo
from pipeline.media.photo.writer import check_format, write_photo
from pipeline.notices import Notices, Notify
from pipeline.progress import peak_memory_bytes
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.style import style_of
from pipeline.stylize.stylizer import MakeStylizer, stylized_width_px
from pipeline.system.folders import make_folder
from pipeline.threads import prefetch

# Pictures that wait between two stages: reading and writing take long for large ones, and so does their memory.
DEPTH = 1

PictureProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished pictures, and of all pictures."""


class Item(NamedTuple):
    """A picture on its way, or why it does not go on.

    Attributes:
        job: what is read and written.
        photo: the picture; None if reading or stylizing it failed.
        error: why it failed.
        seconds: time that stylizing took.
    """

    job: PictureJob
    photo: Photo | None = None
    error: PipelineError | None = None
    seconds: float = 0.0


def stylize_images(
    config: ImageConfig,
    *,
    progress: PictureProgress = lambda done, total: None,
    notify: Notify = lambda line: None,
    make: MakeStylizer = make_stylizer,
) -> ImageSummary:
    """Stylize pictures; one that fails does not stop the others.

    Outputs in a folder that exist already are kept, so that an interrupted run resumes.

    Args:
        config: what, how and where.
        progress: called after each picture, in the calling thread.
        notify: called with each notice, one line.
        make: creates the stylizers; has the signature of `Stylizer`.

    Raises:
        PipelineError: nothing can be stylized, or the only picture failed; see the subclasses in `pipeline.errors`.
        ValueError: the arguments contradict each other.
    """
    started, notices = time.perf_counter(), Notices(notify)
    style = style_of(config.stylize)
    jobs = make_jobs(config, notices)
    results = {job: PictureResult(str(job.source), str(job.target), "exists") for job in jobs if is_done(job, config)}
    left = [job for job in jobs if job not in results]
    if results:
        notices(f"{len(results)} of {len(jobs)} outputs exist already and are kept; --overwrite replaces them")
    stylizer = PictureStylizer(config, notices, make)
    software = style.tag["comment"] if config.tag else None
    with (
        prefetch(_read(left, config, notices), depth=DEPTH, name="read") as read,
        prefetch(_stylized(read, stylizer), depth=DEPTH, name="stylize") as stylized,
    ):
        for item in stylized:
            results[item.job] = _written(item, config, software, notices)
            progress(len(results), len(jobs))
            if (error := results[item.job].error) is not None:
                if len(jobs) == 1 or isinstance(error, StyleError):
                    raise error
                notices(str(error))
    return ImageSummary(
        pictures=[results[job] for job in jobs],
        style=style.name,
        engine=stylizer.engine,
        precision=stylizer.precision,
        device=stylizer.device,
        seconds=time.perf_counter() - started,
        notices=notices.lines,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _read(jobs: Sequence[PictureJob], config: ImageConfig, notify: Notify) -> Iterator[Item]:
    """Yield each picture, or why it cannot be read or would not fit into its output."""
    for job in jobs:
        try:
            job.check()
            photo = read_photo(job.source, height_px=config.decode.height, notify=_named(job.source, notify))
            width, height = photo.size
            check_format(job.target, (stylized_width_px(width, config.stylize.compare), height))
        except PipelineError as error:
            yield Item(job, error=error)
        else:
            yield Item(job, photo)
            del photo  # the next one is read while nobody else holds this one


def _stylized(items: Iterable[Item], stylizer: PictureStylizer) -> Iterator[Item]:
    """Yield each picture stylized, or why it failed."""
    for item in items:
        if item.photo is None:
            yield item
            continue
        started = time.perf_counter()
        try:
            photo = stylizer(item.photo)
        except PipelineError as error:
            yield Item(item.job, error=error)
        else:
            yield Item(item.job, photo, seconds=time.perf_counter() - started)


def _written(item: Item, config: ImageConfig, software: str | None, notify: Notify) -> PictureResult:
    """Write a picture; return what became of it."""
    job, error = item.job, item.error
    names = str(job.source), str(job.target)
    if item.photo is not None:
        try:
            _make_folder(job)
            write_photo(
                job.target,
                item.photo,
                quality=config.quality,
                software=software,
                overwrite=config.overwrite,
                notify=_named(job.source, notify),
            )
        except PipelineError as failure:
            error = failure
        else:
            width, height = item.photo.size
            return PictureResult(*names, "stylized", width, height, item.photo.bits, item.seconds)
    return PictureResult(*names, "failed", error=error)


def _make_folder(job: PictureJob) -> None:
    """Make the folder of an output, unless a link leads out of the output folder by now."""
    if job.output_folder is None:
        return
    job.check()
    try:
        make_folder(job.target.parent)
    except OSError as error:
        raise OutputError(job.target, f"its folder cannot be made ({error.strerror})") from error


def _named(path: Path, notify: Notify) -> Notify:
    return lambda line: notify(f"{path}: {line}")
