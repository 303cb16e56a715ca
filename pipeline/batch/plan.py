"""The plan of a batch: what to do, in which order, and how long it takes, all known before the first frame."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Planned
from pipeline.batch.inputs.clips import looks_like_video
from pipeline.batch.inputs.jobs import Job, canonical_path, check_names
from pipeline.batch.inputs.places import exists, is_placed
from pipeline.batch.records import Records
from pipeline.config import VideoConfig
from pipeline.decode.source import open_source
from pipeline.errors import InputError, OutputError
from pipeline.media.codecs import encoder_for, encoder_options
from pipeline.media.containers import container_for
from pipeline.media.stills import is_still_image
from pipeline.resume.disk_space import bits_per_pixel
from pipeline.storage.fetch import fetched
from pipeline.stylize.stylizer import stylized_width_px
from pipeline.system.files.atomic import write_atomically
from pipeline.system.folders import cache_folder
from pipeline.system.urls import is_url

# Core seconds for a million pixels with `--stability smooth`, used until a clip was stylized on this machine.
DEFAULT_SECONDS = 0.24


@dataclass(frozen=True, slots=True)
class Clip:
    """The header of a clip.

    Attributes:
        width: width of the frames in pixels, after scaling.
        height: height of the frames in pixels, after scaling.
        is_16_bit: whether frames have 16 bits a channel instead of 8.
        frames: number of frames to stylize, None if unknown.
        seconds: duration in seconds, None if unknown.
        error: why the clip cannot be read, None if it can.
    """

    width: int = 0
    height: int = 0
    is_16_bit: bool = False
    frames: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A job and its inspected clip.

    Attributes:
        job: the job.
        clip: its clip.
        is_done: whether an earlier run finished it.
    """

    job: Job
    clip: Clip
    is_done: bool = False

    @property
    def megapixels(self) -> float:
        """Total size of the frames that the network sees, in millions of pixels; the time is proportional to it."""
        frames = self.clip.frames or 0
        return frames * self.clip.width * self.clip.height / self.job.config.stylize.stroke_size**2 / 1e6

    @property
    def bytes(self) -> int:
        """Estimated size of the output in bytes."""
        config, clip = self.job.config, self.clip
        container = container_for(config.target)
        encoder = encoder_for(config.encode.codec, container)
        options = encoder_options(encoder, config.encode.quality, config.encode.preset)
        width = stylized_width_px(clip.width, config.stylize.compare)
        bits = bits_per_pixel(encoder, options) * width * clip.height * (clip.frames or 0)
        other_streams = os.path.getsize(config.source) / 10 if os.path.isfile(config.source) else 0
        return round(bits / 8 + other_streams) if clip.frames else 0

    @property
    def engine_key(self) -> tuple[object, ...]:
        """Equal for steps that the same engine can run."""
        stylize = self.job.config.stylize
        files = tuple(text.partition("#")[0] for text in (stylize.style, stylize.style_end or "") if "#" in text)
        kind = (files, bool(stylize.style_end), stylize.stroke_size, stylize.engine, stylize.precision, stylize.device)
        return (*kind, self.clip.width, self.clip.height, self.clip.is_16_bit)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch will do.

    Attributes:
        steps: all steps in the order in which they run.
        ignored: number of files in the input folders that are no videos.
        notes: a line for each skipped input that the user may have expected.
    """

    steps: tuple[Step, ...]
    ignored: int = 0
    notes: tuple[str, ...] = ()

    @property
    def to_do(self) -> list[Step]:
        """The steps that no earlier run finished."""
        return [step for step in self.steps if not step.is_done]

    def event(self) -> Planned:
        """Return the figures of the plan."""
        to_do = self.to_do
        return Planned(
            clips=len(self.steps),
            done=len(self.steps) - len(to_do),
            frames=sum(step.clip.frames or 0 for step in to_do),
            megapixels=sum(step.megapixels for step in to_do),
            seconds=sum(estimate_seconds(step) for step in to_do),
            bytes=sum(step.bytes for step in to_do),
            ignored=self.ignored,
        )


def plan_batch(
    config: BatchConfig,
    jobs: Sequence[Job],
    notes: Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BatchPlan:
    """Inspect each clip, and order the steps.

    Args:
        config: configuration of the batch.
        jobs: the jobs of `make_jobs`.
        notes: its messages.
        progress: called with the number of inspected clips and the number of all clips.

    Raises:
        OutputError: two outputs have the same name, or an output would replace an input or an existing file.
        StyleError: a weight file cannot be read.
    """
    records, steps = Records(config.state_folder), []
    ignored: set[str] = set()
    jobs = without_own_outputs(jobs, records)
    for number, job in enumerate(jobs, 1):
        step = inspect(job, records)
        if step is None:
            ignored.add(job.config.source)
        else:
            steps.append(step)
        progress(number, len(jobs))
    check_names([step.job for step in steps])
    check_targets(steps, records)
    unreadable = [path for path in sorted(ignored) if not is_url(path) and not os.access(path, os.R_OK)]
    more = (f"{path} cannot be read: it may be a video" for path in unreadable)
    steps = order_steps(steps, errors_first=not config.keep_going, longest_first=config.cluster is not None)
    return BatchPlan(tuple(steps), len(ignored) - len(unreadable), tuple(dict.fromkeys((*notes, *more))))


def without_own_outputs(jobs: Sequence[Job], records: Records) -> list[Job]:
    """Return ``jobs`` without the clips in a folder that are outputs of this batch, existing or future ones."""
    outputs = {canonical_path(path) for path in records.outputs()}
    outputs |= {canonical_path(job.config.target) for job in jobs}
    return [job for job in jobs if job.is_named or canonical_path(job.config.source) not in outputs]


def inspect(job: Job, records: Records) -> Step | None:
    """Open a job's clip and return its step, or None for a file in a folder that is no video.

    Raises:
        StyleError: a weight file cannot be read.
    """
    is_done = records.is_done(job, records.read(job))
    if is_done and is_url(job.config.source):
        return Step(job, Clip(), is_done)  # without a download
    clip = _read_header(job)
    if not job.is_named:
        path = job.config.source
        if is_still_image(Path(path)) if clip.error is None else not looks_like_video(path):
            return None
    return Step(job, clip, is_done)


def check_targets(steps: Iterable[Step], records: Records) -> None:
    """Check that no existing file would be replaced.

    In the output folder of an earlier run, only its own outputs made with other settings are an error here. A file that
    another program put there later fails its clip alone, when the clip is started.

    Raises:
        OutputError: the first target that exists.
    """
    existing = [step.job for step in steps if not step.is_done and not may_write(step.job.config)]
    if records.exists:
        existing = [job for job in existing if job.config.fresh or records.has_other_settings(job)]
    if existing:
        more = f", as do {len(existing) - 1} more outputs" if len(existing) > 1 else ""
        reason = (
            "made with other settings, from another input, or by another program; choose another --output or --name"
        )
        if existing[0].config.fresh:
            reason = "and --fresh does not replace finished outputs; leave it out"
        raise OutputError(existing[0].config.target, f"exists already{more}, {reason}, or use --overwrite")


def may_write(config: VideoConfig) -> bool:
    """Return whether the target does not exist or may be replaced."""
    if config.encode.overwrite or not exists(config.target):
        return True
    return not config.fresh and is_placed(config.target)


def order_steps(steps: Iterable[Step], *, errors_first: bool = False, longest_first: bool = False) -> list[Step]:
    """Return the steps grouped by engine, each group at the place of its first step.

    Args:
        steps: of the plan.
        errors_first: whether unreadable clips come first, where they end the batch: before hours of other work.
        longest_first: whether the longest clips come first instead, as for many workers: one that starts last would end
            long after all others.
    """
    groups: dict[tuple[object, ...], list[Step]] = {}
    unreadable: list[Step] = []
    for step in steps:
        (unreadable if step.clip.error is not None else groups.setdefault(step.engine_key, [])).append(step)
    readable = [step for group in groups.values() for step in group]
    if longest_first:
        readable.sort(key=lambda step: step.megapixels, reverse=True)
    return unreadable + readable if errors_first else readable + unreadable


def estimate_seconds(step: Step) -> float:
    """Return the estimated duration of a step, from the speed of earlier clips with frames of about the same size.

    A pixel of a tiny frame takes ten times as long as one of a large frame.
    """
    speeds, default = _read_speeds(), DEFAULT_SECONDS / min(os.cpu_count() or 1, 8)
    return step.megapixels * next((speeds[key] for key in _speed_keys(step) if key in speeds), default)


def record_speed(step: Step, frames: int, seconds: float) -> None:
    """Record how long ``frames`` of ``step`` took, for later estimates."""
    if not step.megapixels or not step.clip.frames or not seconds or frames < 10:
        return
    speeds = _read_speeds()
    speeds[_speed_keys(step)[0]] = round(seconds / (step.megapixels * frames / step.clip.frames), 6)
    with suppress(OSError):
        write_atomically(str(cache_folder() / "speeds.json"), json.dumps(speeds).encode())


def _read_header(job: Job) -> Clip:
    try:
        job.check_source()
        decode = replace(job.config.decode, threads=1)
        with (
            fetched(job.config.source) as path,
            open_source(path, decode, with_side_packets=False, keep_alpha_and_depth=True) as source,
        ):
            info = source.info
            return Clip(info.width, info.height, info.is_16_bit, info.frame_count, info.duration_seconds)
    except InputError as error:
        return Clip(error=str(error))


def _speed_keys(step: Step) -> list[str]:
    """Return the keys of a step's speed: settings and frame size as a power of four, then the neighboring sizes."""
    stylize, clip = step.job.config.stylize, step.clip
    settings = f"{stylize.device} {stylize.engine} {stylize.precision} {stylize.stability}"
    size = round(log(clip.width * clip.height / stylize.stroke_size**2 or 1, 4))
    return [f"{settings} {each}" for each in (size, size + 1, size - 1)]


def _read_speeds() -> dict[str, float]:
    try:
        data = json.loads((cache_folder() / "speeds.json").read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
