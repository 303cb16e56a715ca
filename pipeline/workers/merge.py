"""The render of a clip whose parts others paint: how it is divided, and how the parts are joined and compared.

The work folder is that of an undivided render, with a folder in it for each part; how the clip is divided stands in the
manifest, so that the same command goes on with the same parts, whoever paints them. What was begun undivided is not
gone on with divided, nor the other way: at seams without a cut frames differ by roundings. Whole work is put together
by either.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from types import TracebackType
from typing import Any

from pipeline.config import VideoConfig
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError, TooLittleMemoryError
from pipeline.frames import VideoInfo
from pipeline.media.damage import Damage
from pipeline.resume.fingerprint import changes, identify
from pipeline.resume.manifest import NAME, Manifest, ManifestError, read_manifest, work_dir
from pipeline.resume.resumable import ResumableRender
from pipeline.resume.work_dir import remove
from pipeline.summary import Notices
from pipeline.workers.absolute_paths import for_elsewhere
from pipeline.workers.boundary_frames import Edge, edges
from pipeline.workers.partition import find_boundaries, lengthened
from pipeline.workers.protocol import SegmentExecutor, SegmentJob, SegmentResult, SegmentStart
from pipeline.workers.segment_job import folder_of, read_progress, write_progress

# By how much the frame behind a seam may differ from an undivided render, in levels of 255.
MEAN_LEVELS, MOST_LEVELS = 1.0, 4.0

CountParts = Callable[[VideoInfo, int], int]


def is_begun_alone(config: VideoConfig, plan: OutputPlan) -> bool:
    """Whether an earlier run painted some of the output undivided, and as it is asked for now.

    Raises:
        InputError: the input cannot be read.
        StyleError: a weight file cannot be read.
    """
    kept = None if config.fresh else _manifest_in(work_dir(config.target))
    return kept is not None and kept.split is None and not changes(kept.identity, identify(config, plan))


class DividedRender(ResumableRender):
    """The render of a clip whose parts others paint."""

    reused = 0
    """Frames that earlier runs painted."""

    @property
    def is_whole(self) -> bool:
        """Whether all parts are painted and joined."""
        return self._manifest.is_whole

    @property
    def engine(self) -> Mapping[str, Any]:
        """What painted, see `pipeline.resume.fingerprint.engine_of`."""
        return self._manifest.engine

    def _begin(self) -> None:
        super()._begin()
        self.reused = self.frames_reused  # all, where only the joining is left

    def divide(self, engine: SegmentExecutor, count: CountParts) -> None:
        """Decide on the parts, unless an earlier run did."""
        if self._manifest.split is not None:
            self.reused = self._kept_frames()
            for folder in self._folders():  # a killed worker had told of frames that are lost
                write_progress(folder, _frames_in(folder))
            return
        self._throw_away_stale()
        parts = count(self._source.info, engine.workers)
        begins = [list(astuple(seam)) for seam in find_boundaries(self._source, self._config, parts)]
        if parts > 1 and not begins:
            self._notify("it cannot be divided, as no way leads into its middle: one worker paints it")
        self._manifest.split = {"threads": engine.threads, "sharers": engine.sharers, "begins": begins, "again": []}
        self._manifest.write(self._folder.path)

    def tasks(self) -> list[SegmentJob]:
        """A description of each part."""
        begins = [None, *self._begins()]
        ends = [*(begin.pts for begin in self._begins()), None]
        split, identity = self._manifest.split or {}, self._manifest.identity
        config = for_elsewhere(_with_threads(self._config, split["threads"]))
        return [
            SegmentJob(config, identity, number, begin, end, split["sharers"])
            for number, (begin, end) in enumerate(zip(begins, ends, strict=True))
        ]

    def lengthen(self, results: Sequence[SegmentResult], notices: Notices) -> bool:
        """Let parts be painted again, each once, that do not fit the one before; whether there are any."""
        split = self._manifest.split or {}
        again = self._mended(results, split["again"])
        for number, begin in again.items():
            notices(f"behind {self._seconds(number):.2f} s a seam would show: painting that part again")
            split["begins"][number - 1] = list(astuple(begin))
            split["again"].append(number)
            remove(os.path.join(folder_of(self._config.target, number), NAME))
        if again:
            self._manifest.write(self._folder.path)
        return bool(again)

    def _mended(self, results: Sequence[SegmentResult], done: Sequence[int]) -> dict[int, SegmentStart]:
        """How parts ought to begin that do not fit the one before, by their numbers."""
        begins, apart = self._begins(), self._apart(results)
        if apart is None:
            showing = [number for number, _, _ in self._showing() if number not in done]
            found = {number: lengthened(self._source, begins[number - 1]) for number in showing}
        else:  # where seeking misled one, it may have misled all behind, which fit each other
            behind = [number for number in range(apart, len(begins) + 1) if number not in done]
            found = {number: replace(begins[number - 1], before_digest="") for number in behind}
        return {number: begin for number, begin in found.items() if begin != begins[number - 1]}

    def stylized(self) -> int:
        """How many frames of all parts are painted so far, as they say themselves."""
        return sum(read_progress(folder) for folder in self._folders())

    def join(self, results: Sequence[SegmentResult], notices: Notices) -> None:
        """Take over what the parts are made of, and look at the seams.

        Raises:
            EncodeError: the parts do not fit together.
        """
        apart = self._apart(results)
        if apart is not None:
            where = f"behind {self._seconds(apart):.2f} s the parts of several workers do not meet"
            raise EncodeError(self._plan.target, f"{where}; paint it with --workers 1 --fresh")
        manifest = self._manifest
        manifest.segments = [segment for result in results for segment in result.segments]
        manifest.engine = results[0].engine
        if len({segment.header for segment in manifest.segments}) > 1:
            raise EncodeError(self._plan.target, f"{self._plan.encoder.name} does not begin all segments alike")
        self._take_damage(results)
        said = dict.fromkeys(notice for result in results for notice in result.notices)
        notices.say(line for line in said if line not in notices.lines)
        if len({_unnumbered(result.engine) for result in results}) > 1:
            notices("parts were painted by different engines; give --engine and --precision for all the same")
        for number, mean, most in self._showing():
            notices(
                f"behind {self._seconds(number):.2f} s, where another worker took over, the picture differs by up to "
                f"{most:.0f} levels ({mean:.2f} in the mean) from that of one worker; --workers 1 paints without seams"
            )
        self.reused = sum(result.frames_reused for result in results)

    def _take_damage(self, results: Sequence[SegmentResult]) -> None:
        """Each place once: near seams two parts come upon it."""
        found = {damage.key: damage.as_json() for damage in self._source.damage}
        known = len(found)
        for place in (place for result in results for place in result.damage):
            found.setdefault(Damage.from_json(place).key, place)
        self._source.restore_damage(list(found.values())[known:])
        self._manifest.damage = [place.as_json() for place in self._source.damage]

    def _showing(self) -> list[tuple[int, float, float]]:
        """Parts that begin otherwise than one worker would go on: number, mean and largest difference."""
        found = [(number, *each[0].difference(each[1])) for number, each in self._edges().items() if each is not None]
        return [each for each in found if each[1] >= MEAN_LEVELS or each[2] >= MOST_LEVELS]

    def _apart(self, results: Sequence[SegmentResult]) -> int | None:
        """The first part that does not begin with the very frame before which the one before ends; None without any."""
        is_damaged = any(result.damage for result in results)  # may look otherwise when it is come to from another side
        for number, each in self._edges().items():
            if each is None or not each[0].is_frame(each[1], may_look_otherwise=is_damaged):
                return number
        return None

    def _edges(self) -> dict[int, tuple[Edge, Edge] | None]:
        """The frame with which each part but the first begins, by its number."""
        folders = self._folders()
        return {number: edges(folders[number - 1], folders[number]) for number in range(1, len(folders))}

    def _begins(self) -> list[SegmentStart]:
        split = self._manifest.split
        return [] if split is None else [SegmentStart(*begin) for begin in split["begins"]]

    def _seconds(self, number: int) -> float:
        return float(self._begins()[number - 1].pts * self._manifest.time_base)

    def _identity(self) -> dict[str, Any]:
        identity = super()._identity()
        return identity | {"settings": identity["settings"] | {"workers": "several"}}

    def _stylized(self) -> Manifest:
        if self.is_whole:
            return self._manifest
        parts = [_manifest_in(folder) for folder in self._folders()]
        return Manifest({}, segments=[segment for part in parts if part is not None for segment in part.segments])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sharers = (self._manifest.split or {}).get("sharers", 1)
        if isinstance(error, TooLittleMemoryError) and sharers > 1:
            error.add_note(f"{sharers} workers share what there is")
        super().__exit__(kind, error, traceback)

    def _what_is_kept(self) -> str:
        if self.is_whole:
            return super()._what_is_kept()
        frames = self._kept_frames()
        of = f" of {self._source.info.frame_count}" if self._source.info.frame_count else ""
        command = "the same command without --fresh" if self._config.fresh else "the same command"
        return f"{frames} frames{of} are kept in {self._folder.path}; {command} goes on" if frames else ""

    def _kept_frames(self) -> int:
        """Frames in finished segments of all parts."""
        return sum(_frames_in(folder) for folder in self._folders())

    def _folders(self) -> list[str]:
        """Of the parts; none before they are decided on."""
        split = self._manifest.split
        parts = 0 if split is None else len(split["begins"]) + 1
        return [folder_of(self._config.target, number) for number in range(parts)]


def _with_threads(config: VideoConfig, threads: int) -> VideoConfig:
    """``config`` for one of several who share the cores; what was kept is thrown away for all, or not at all."""
    return replace(
        config,
        fresh=False,
        stylize=replace(config.stylize, threads=config.stylize.threads or threads),
        decode=replace(config.decode, threads=config.decode.threads or threads),
        encode=replace(config.encode, threads=config.encode.threads or threads),
    )


def _frames_in(folder: str) -> int:
    """Frames in the finished segments of a part."""
    manifest = _manifest_in(folder)
    return 0 if manifest is None else manifest.frames


def _manifest_in(folder: str) -> Manifest | None:
    """Of a work folder; None where it is not there, or damaged."""
    with suppress(ManifestError):
        return read_manifest(folder)
    return None


def _unnumbered(engine: Mapping[str, Any]) -> tuple[object, ...]:
    """An engine, whichever of several like devices it ran on."""
    return engine["engine"], engine["precision"], str(engine["device"]).partition(":")[0]
