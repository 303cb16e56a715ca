"""What a batch will do, in which order, and what that takes: found out before the first frame."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

from pipeline.atomic import write_in_place
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Planned
from pipeline.batch.inputs import looks_like_video
from pipeline.batch.jobs import Job, check_names
from pipeline.batch.records import Records
from pipeline.config import VideoConfig
from pipeline.decode.source import open_source
from pipeline.errors import InputError, OutputError
from pipeline.media.codecs import encoder_for, encoder_options
from pipeline.media.containers import container_for
from pipeline.media.stills import is_still_image
from pipeline.resume.disk_space import bits_per_pixel
from pipeline.resume.manifest import is_placed
from pipeline.stylize.device import cache_folder
from pipeline.stylize.stylizer import stylized_width_px

# Seconds for a million pixels on one core, `--stability smooth`, where no clip was painted on this machine before.
USUAL_SECONDS = 0.24


@dataclass(frozen=True, slots=True)
class Clip:
    """What is known of a job's clip.

    Attributes:
        width: of the frames to paint, in pixels.
        height: of the frames to paint, in pixels.
        is_16_bit: whether they have 16 bits.
        frames: to paint; None where the header does not tell.
        seconds: how long it plays; None where the header does not tell.
        fault: why it cannot be read; None where it can.
    """

    width: int = 0
    height: int = 0
    is_16_bit: bool = False
    frames: int | None = None
    seconds: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One job, looked at.

    Attributes:
        job: what is to be done.
        clip: on what.
        is_done: whether an earlier run did it.
    """

    job: Job
    clip: Clip
    is_done: bool = False

    @property
    def megapixels(self) -> float:
        """That the network will see: by this the time goes."""
        frames = self.clip.frames or 0
        return frames * self.clip.width * self.clip.height / self.job.config.stylize.stroke_size**2 / 1e6

    @property
    def bytes(self) -> int:
        """That the output may have."""
        config, clip = self.job.config, self.clip
        container = container_for(config.target)
        encoder = encoder_for(config.encode.codec, container)
        options = encoder_options(encoder, config.encode.quality, config.encode.preset)
        width = stylized_width_px(clip.width, config.stylize.compare)
        bits = bits_per_pixel(encoder, options) * width * clip.height * (clip.frames or 0)
        others = os.path.getsize(config.source) / 10 if os.path.isfile(config.source) else 0
        return round(bits / 8 + others) if clip.frames else 0

    @property
    def graph(self) -> tuple[object, ...]:
        """What makes an engine another one."""
        stylize = self.job.config.stylize
        files = tuple(text.partition("#")[0] for text in (stylize.style, stylize.style_end or "") if "#" in text)
        kind = (files, bool(stylize.style_end), stylize.stroke_size, stylize.engine, stylize.precision, stylize.device)
        return (*kind, self.clip.width, self.clip.height, self.clip.is_16_bit)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch will do.

    Attributes:
        steps: in the order in which they are done.
        ignored: how many files of its folders are no video.
        notes: what is left out, and may not be expected to be; a line each.
    """

    steps: tuple[Step, ...]
    ignored: int = 0
    notes: tuple[str, ...] = ()

    @property
    def to_do(self) -> list[Step]:
        """What no earlier run did."""
        return [step for step in self.steps if not step.is_done]

    def event(self) -> Planned:
        """The plan in figures."""
        to_do = self.to_do
        return Planned(
            clips=len(self.steps),
            done=len(self.steps) - len(to_do),
            frames=sum(step.clip.frames or 0 for step in to_do),
            megapixels=sum(step.megapixels for step in to_do),
            seconds=sum(seconds_for(step) for step in to_do),
            bytes=sum(step.bytes for step in to_do),
            ignored=self.ignored,
        )


def plan_batch(
    config: BatchConfig,
    jobs: Sequence[Job],
    notes: Sequence[str] = (),
    *,
    looked_at: Callable[[int, int], None] = lambda done, total: None,
) -> BatchPlan:
    """Look at each clip, and put those together that one engine can paint.

    Args:
        config: of the batch.
        jobs: of `make_jobs`.
        notes: that it gave.
        looked_at: called with how many clips have been opened, and how many there are.

    Raises:
        OutputError: two outputs would have the same name, or one that of an input, or must not be replaced.
        StyleError: a weight file cannot be read.
    """
    records, steps = Records(config.state_folder), []
    ignored: set[str] = set()
    for number, job in enumerate(jobs, 1):
        step = look_at(job, records)
        if step is None:
            ignored.add(job.config.source)
        else:
            steps.append(step)
        looked_at(number, len(jobs))
    check_names([step.job for step in steps])
    check_places(steps, records)
    closed = [path for path in sorted(ignored) if not os.access(path, os.R_OK)]
    more = (f"{path} cannot be read: whether it is a video is not known" for path in closed)
    steps = ordered(steps, broken_first=not config.keep_going)
    return BatchPlan(tuple(steps), len(ignored) - len(closed), tuple(dict.fromkeys((*notes, *more))))


def look_at(job: Job, records: Records) -> Step | None:
    """Open a job's clip; None for a file that only lay in the folder, and is no video.

    Raises:
        StyleError: a weight file cannot be read.
    """
    clip = _probe(job.config)
    if clip.fault is not None and not job.is_named and not looks_like_video(job.config.source):
        return None
    if not job.is_named and clip.fault is None and is_still_image(Path(job.config.source)):
        return None
    return Step(job, clip, records.is_done(job, records.of(job)))


def check_places(steps: Iterable[Step], records: Records) -> None:
    """Refuse to begin where outputs are there that must not be replaced.

    Where a batch goes on, these are its own, made with other settings; of what else has come into a clip's way since
    it began, that clip is told at its turn, and the others are painted.

    Raises:
        OutputError: which.
    """
    there = [step.job for step in steps if not step.is_done and not may_be_written(step.job.config)]
    if records.is_begun:
        there = [job for job in there if job.config.fresh or records.has_other_settings(job)]
    if there:
        more = f", as do {len(there) - 1} more outputs" if len(there) > 1 else ""
        how = "made with other settings, of another input, or by someone else; choose another --output or --name"
        if there[0].config.fresh:
            how = "and --fresh does not replace what is finished; leave it out"
        raise OutputError(there[0].config.target, f"exists already{more}, {how}, or --overwrite")


def may_be_written(config: VideoConfig) -> bool:
    """Whether nothing stands in the output's place that must not be replaced."""
    return config.encode.overwrite or not os.path.lexists(config.target) or is_placed(config.target)


def ordered(steps: Iterable[Step], *, broken_first: bool = False) -> list[Step]:
    """Steps with the same engine one after another, in the order of their first.

    What cannot be read comes last; or first, where it is to end the batch, before hours of other work.
    """
    groups: dict[tuple[object, ...], list[Step]] = {}
    broken: list[Step] = []
    for step in steps:
        (broken if step.clip.fault is not None else groups.setdefault(step.graph, [])).append(step)
    whole = [step for group in groups.values() for step in group]
    return broken + whole if broken_first else whole + broken


def seconds_for(step: Step) -> float:
    """How long it may take: by what clips with frames of about its size took on this machine before.

    Without any, by what they usually take; a pixel of a tiny frame takes ten times as long.
    """
    speeds, usual = _speeds(), USUAL_SECONDS / min(os.cpu_count() or 1, 8)
    return step.megapixels * next((speeds[key] for key in _speed_keys(step) if key in speeds), usual)


def remember_speed(step: Step, frames: int, seconds: float) -> None:
    """Keep how long ``frames`` of ``step`` took, for later estimates."""
    if not step.megapixels or not step.clip.frames or not seconds or frames < 10:
        return
    speeds = _speeds()
    speeds[_speed_keys(step)[0]] = round(seconds / (step.megapixels * frames / step.clip.frames), 6)
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_in_place(str(cache_folder() / "speeds.json"), json.dumps(speeds).encode())


def _probe(config: VideoConfig) -> Clip:
    try:
        with open_source(
            config.source, replace(config.decode, threads=1), reads_along=False, keep_alpha_and_depth=True
        ) as source:
            info = source.info
            return Clip(info.width, info.height, info.is_16_bit, info.frame_count, info.duration_seconds)
    except InputError as error:
        return Clip(fault=str(error))


def _speed_keys(step: Step) -> list[str]:
    """By which a speed is kept: settings, and the size of a frame as a power of four; its own first, then like ones."""
    stylize, clip = step.job.config.stylize, step.clip
    settings = f"{stylize.device} {stylize.engine} {stylize.precision} {stylize.stability}"
    size = round(log(clip.width * clip.height / stylize.stroke_size**2 or 1, 4))
    return [f"{settings} {each}" for each in (size, size + 1, size - 1)]


def _speeds() -> dict[str, float]:
    try:
        data = json.loads((cache_folder() / "speeds.json").read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
