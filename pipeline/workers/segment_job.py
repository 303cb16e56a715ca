"""One part of a clip, painted by whoever was given it: as a render of its own, whose segments wait for the others.

    decode from before the part -> see, then paint, but only to remember -> paint -> encode into segments

Its folder lies in the clip's work folder, looks like it (see `pipeline.resume.manifest`), and is gone on with
likewise. It
also holds

first.safetensors        the first frame as it was painted here
behind.safetensors       the frame behind the last as this part would paint it: the next part's first, if all went well
painted.part             how many frames are painted, for whoever waits
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any

from pipeline.atomic import explained
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.mask import open_mask
from pipeline.decode.source import Source, open_source
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.errors import InputError
from pipeline.frames import Frame
from pipeline.resume.manifest import work_dir
from pipeline.resume.resumable import ResumableRender
from pipeline.resume.resume_point import frames_from
from pipeline.resume.segments import frame_digest, mark_segments
from pipeline.resume.work_dir import WorkDir
from pipeline.stylize.device import find_device
from pipeline.stylize.memory_budget import queue_depth
from pipeline.stylize.style import last_frame_seconds
from pipeline.stylize.stylizer import MakeStylizer, Stylizer, stylized_width_px
from pipeline.threads import prefetch
from pipeline.workers.absolute_paths import check_here
from pipeline.workers.boundary_frames import BEHIND, FIRST, Edge
from pipeline.workers.protocol import SegmentJob, SegmentResult

PAINTED = "painted.part"
# So often it is told how many frames are painted.
TELL_SECONDS = 0.25


def folder_of(target: str, number: int) -> str:
    """The work folder of a part of the output ``target``."""
    return work_dir(os.path.join(work_dir(target), f"part{number:04}"))


def write_progress(folder: str, count: int) -> None:
    """Note in the folder of a part how many of its frames are painted."""
    with suppress(OSError), open(os.path.join(folder, PAINTED), "w", encoding="ascii") as file:
        file.write(str(count))


def read_progress(folder: str) -> int:
    """What `write_progress` noted; 0 where nobody has."""
    with suppress(OSError, ValueError), open(os.path.join(folder, PAINTED), encoding="ascii") as file:
        return int(file.read())
    return 0


def run_segment_job(task: SegmentJob, make: MakeStylizer = Stylizer) -> SegmentResult:
    """Paint a part, or what is missing of it.

    Args:
        task: which.
        make: makes the stylizer, called as `Stylizer`.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
    """
    check_here(task)
    config, notices, style = task.config, list[str](), task.config.stylize
    with (
        open_source(config.source, config.decode, reads_along=False, keep_alpha_and_depth=True) as source,
        open_mask(config.mask, source.info, config.decode) as mask,
    ):
        info = source.info
        size = stylized_width_px(info.width, style.compare), info.height
        last = last_frame_seconds(info) if style.style_end else None
        of_clip = {
            "height": info.height,
            "width": info.width,
            "is_16_bit": info.is_16_bit,
            "last_seconds": last,
            "mask": mask,
        }
        with _Part(task, _plan(config, source, size), source, notices.append) as part:
            if part.is_whole:
                return part.result(notices)
            stylizer = part.load(style, partial(make, **of_clip, notify=notices.append))
            depth = queue_depth(config.depth, info)
            with (
                prefetch(part.frames(), depth=depth, name="decode", stop=source.stop) as decoded,
                prefetch(stylizer(decoded, part.state), depth=depth, name="stylize", stop=source.stop) as stylized,
            ):
                part.write(stylized)
            return part.result(notices)


def _plan(config: VideoConfig, source: Source, size: tuple[int, int]) -> OutputPlan:
    """How the picture is encoded; whether the output may be written was asked before, its other streams come later."""
    encode = replace(config.encode, streams="none", overwrite=True)
    return plan_output(source, config.target, encode, size=size)


class _Part(ResumableRender):
    """The render of a part: nothing is put together, and what is finished stays."""

    def __init__(self, task: SegmentJob, plan: OutputPlan, source: Source, notify: Callable[[str], None]) -> None:
        self._task = task
        super().__init__(task.config, plan, source, {}, notify)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to be painted."""
        return self._manifest.is_whole

    def result(self, notices: list[str]) -> SegmentResult:
        """What came of it."""
        manifest = self._manifest
        folder = os.path.basename(self._folder.path)
        segments = tuple(replace(each, file=os.path.join(folder, each.file)) for each in manifest.segments)
        damage = tuple(place.as_json() for place in self._source.damage)
        return SegmentResult(segments, manifest.engine, self.frames_reused, damage, tuple(notices))

    def load(self, config: StylizeConfig, make: Callable[[StylizeConfig], Stylizer]) -> Stylizer:
        """As `ResumableRender.load`, but on another device of the same kind."""
        here = str(find_device(config.device))
        if self.frames_reused and _kind(self._manifest.engine["device"]) == _kind(here):
            self._manifest.engine["device"] = here
        return super().load(config, make)

    def frames(self) -> Iterator[Frame]:
        """The frames before the part that it needs, its own, and the one behind."""
        items = self._behind_kept() if self.frames_reused else None
        return self._marked(items or self._from_warm_up())

    def _marked(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        first: list[Frame] = []
        begin = self._task.begin
        if begin is not None and not self.frames_reused:
            for frame in frames:
                if frame.pts >= begin.pts:
                    first.append(replace(frame, digest=frame_digest(frame)))
                    break
                yield replace(frame, is_observed_only=frame.pts < begin.warm_pts)
        config, behind = self._config, list[Frame]()
        own = _before(chain(first, frames), self._task.end_pts, behind)
        yield from mark_segments(own, self.frames_reused, seconds=config.segment_seconds, length=config.segment_frames)
        for frame in behind:
            yield replace(frame, digest=frame_digest(frame))

    def write(self, items: Iterable[Frame]) -> None:
        """Write the segments.

        Raises:
            EncodeError: an encoder refuses something, or the disk is full.
            InputError: the input was changed or removed meanwhile, or does not hold the part.
        """
        self._throw_away_stale()  # pictures at the seams are kept before the first segment
        self._write_segments(self._own(items))
        if not self._manifest.segments:
            raise InputError(self._config.source, "was changed while it was painted; paint it again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.leave(is_kept=True)

    def _identity(self) -> dict[str, Any]:
        begin = self._task.begin
        times = [] if begin is None else [begin.seen_pts, begin.warm_pts, begin.pts]
        return self._task.identity | {"part": [*times, self._task.end_pts]}

    def _open_folder(self) -> WorkDir:
        return WorkDir(self._plan.target, folder_of(self._plan.target, self._task.number))

    def _check_space(self) -> None:
        """That was done for the whole clip."""

    def _what_is_kept(self) -> str:
        """That is said of the whole clip."""
        return ""

    def _from_warm_up(self) -> Iterator[Frame]:
        begin = self._task.begin
        if begin is None:
            return decode(self._source)
        digest = begin.before_digest
        items = frames_from(self._source, begin.before_pts, digest) if digest else None
        if items is None:  # seeking led to other pictures than decoding all does, which alone is right
            self._source.restart(None)
            items = decode(self._source)
        return (frame for frame in items if frame.pts >= begin.seen_pts)

    def _own(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Only what is to be written of ``frames``; pictures at the seams are kept to be compared."""
        begin, end = self._task.begin, self._task.end_pts
        is_first = begin is not None and not self.frames_reused
        tell = _Teller(self._folder.path, self.frames_reused)
        for frame in frames:
            is_own = (begin is None or frame.pts >= begin.pts) and (end is None or frame.pts < end)
            if end is not None and frame.pts >= end:
                self._keep_edge(BEHIND, frame)
            elif is_own and is_first:
                self._keep_edge(FIRST, frame)
                is_first = False
            tell(is_own)
            if is_own:
                yield frame
        tell.now()

    def _keep_edge(self, name: str, frame: Frame) -> None:
        with explained(self._plan.target):
            Edge(frame.pixels, frame.pts, frame.digest or "").write(self._folder.file(name))


class _Teller:
    """Tells now and then how many frames of a part are painted."""

    def __init__(self, folder: str, count: int) -> None:
        self._folder = folder
        self._count = count
        self._told = 0.0

    def __call__(self, is_own: bool) -> None:
        """One more is, be it of the part or before it."""
        if time.monotonic() - self._told >= TELL_SECONDS:
            self.now()
        self._count += is_own

    def now(self) -> None:
        """Tell."""
        write_progress(self._folder, self._count)
        self._told = time.monotonic()


def _before(frames: Iterable[Frame], end: int | None, behind: list[Frame]) -> Iterator[Frame]:
    """``frames`` up to the one at ``end``, which is put into ``behind``."""
    for frame in frames:
        if end is not None and frame.pts >= end:
            behind.append(frame)
            return
        yield frame


def _kind(device: str) -> str:
    return device.partition(":")[0]
