"""Split a clip into segment jobs, and merge their results.

The work folder is that of a clip that one process stylizes, with a folder in it for each job. The manifest records how
the clip is split, so that a resumed run has the same jobs with any workers. Several workers do not resume the partial
output of a single process, or vice versa: at boundaries without a scene cut, frames differ by rounding. Once all frames
are stylized, either can finish the output.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.config import VideoConfig
from pipeline.decode.source import Source
from pipeline.encode.output_plan import OutputPlan
from pipeline.errors import EncodeError
from pipeline.frames import VideoInfo
from pipeline.media.damage import Damage
from pipeline.notices import Notices
from pipeline.resume.fingerprint import differences, identify, mask_hash, style_hashes
from pipeline.resume.store import SegmentStore
from pipeline.resume.work_folder.manifest import NAME, ManifestError, job_dir_path, read_manifest, work_dir_path
from pipeline.system.files.atomic import remove
from pipeline.system.files.reading import file_signature
from pipeline.workers.absolute_paths import with_absolute_paths
from pipeline.workers.boundary_frames import BoundaryFrame, read_boundary
from pipeline.workers.partition import WarmUp, extend_warm_up, find_boundaries
from pipeline.workers.protocol import JoinJob, SegmentExecutor, SegmentJob, SegmentResult, SegmentStart
from pipeline.workers.segment_job import read_progress, write_progress

CountJobs = Callable[[VideoInfo, int], int]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Differences below which a boundary is invisible, in levels from 0 to 255.

    The frame after the boundary is compared with the same frame as the worker before the boundary stylized it.

    Attributes:
        mean: limit of the mean difference.
        largest: limit of the largest difference.
    """

    mean: float = 1.0
    largest: float = 4.0


TOLERANCE = Tolerance()


def has_partial_output_of_one_process(config: VideoConfig, plan: OutputPlan) -> bool:
    """Return whether there is partial output that one process made with the same settings.

    Raises:
        InputError: the input cannot be read.
        StyleError: a weight file cannot be read.
    """
    if config.fresh:
        return False
    with suppress(ManifestError):
        manifest = read_manifest(work_dir_path(config.target))
        if manifest is not None and manifest.split is None:
            return not differences(manifest.identity, identify(config, plan))
    return False


def identify_split(config: VideoConfig, plan: OutputPlan) -> dict[str, Any]:
    """Return the identity of a clip that several workers stylize; how many there are does not matter."""
    identity = identify(config, plan)
    return identity | {"settings": identity["settings"] | {"workers": "several"}}


class SplitClip:
    """A clip that is split into segment jobs.

    Args:
        config: of the whole run.
        source: the opened input.
        store: work folder of the whole clip; its manifest records the split.
        warm_up: number of frames to decode before the start of a job.
        tolerance: differences below which a boundary is invisible.

    Attributes:
        frames_reused: number of frames that earlier runs finished.
    """

    def __init__(
        self,
        config: VideoConfig,
        source: Source,
        store: SegmentStore,
        *,
        warm_up: WarmUp,
        tolerance: Tolerance,
    ) -> None:
        self.frames_reused = store.frames_reused
        self._config = config
        self._source = source
        self._store = store
        self._warm_up = warm_up
        self._tolerance = tolerance

    def split(self, executor: SegmentExecutor, count: CountJobs, notices: Notices) -> None:
        """Split the clip into jobs, unless an earlier run did.

        Args:
            executor: will run them.
            count: returns the number of jobs.
            notices: receives a line if the clip cannot be split.
        """
        store = self._store
        if store.manifest.split is not None:
            finished = [_finished_frames(folder) for folder in self._folders()]
            self.frames_reused = sum(finished)
            for folder, frames in zip(self._folders(), finished, strict=True):
                write_progress(folder, frames)  # a killed worker has reported frames that it did not save
            return
        store.clear_stale()
        jobs = count(self._source.info, executor.workers)
        starts = find_boundaries(self._source, self._config, jobs, warm_up=self._warm_up)
        if jobs > 1 and not starts:
            notices("the clip cannot be split, as seeking does not reach its middle: one worker stylizes it")
        store.manifest.split = {
            "threads": executor.threads,
            "sharers": executor.sharers,
            "starts": [asdict(start) for start in starts],
            "extended": [],
        }
        store.write_manifest()

    def jobs(self) -> list[SegmentJob]:
        """Return all segment jobs."""
        starts, split = self._starts(), self._split()
        config = with_absolute_paths(_with_threads(self._config, split["threads"]))
        signature = file_signature(config.source)
        ends = [*(start.pts for start in starts), None]
        # Of the refined styles and the tracked mask, if there are any.
        identity = self._store.manifest.identity | {"weights": style_hashes(config), "mask": mask_hash(config)}
        return [
            SegmentJob(config, identity, number, start, end, split["sharers"], signature)
            for number, (start, end) in enumerate(zip([None, *starts], ends, strict=True))
        ]

    def join_job(self, config: VideoConfig) -> JoinJob:
        """Return the job that makes the output; ``config`` is that of the run, before style and mask were made."""
        config = with_absolute_paths(replace(config, fresh=False))
        return JoinJob(config, self._store.manifest.identity, file_signature(config.source))

    def stylized_frames(self) -> int:
        """Return how many frames all jobs have stylized so far, as they report."""
        return sum(read_progress(folder) for folder in self._folders())

    def redo_misfits(self, results: Sequence[SegmentResult], notices: Notices) -> bool:
        """Give another start to jobs that do not match the job before, once each; return whether there are any.

        These jobs have to be run again.
        """
        split = self._split()
        redone = self._better_starts(results, split["extended"])
        for number, start in redone.items():
            notices(f"after {self._seconds(number):.2f} s a boundary would be visible: stylizing that part again")
            split["starts"][number - 1] = asdict(start)
            split["extended"].append(number)
            remove(os.path.join(job_dir_path(self._config.target, number), NAME))
        if redone:
            self._store.write_manifest()
        return bool(redone)

    def merge(self, results: Sequence[SegmentResult], notices: Notices) -> None:
        """Add the segments of all jobs to the manifest, and report visible boundaries.

        Raises:
            EncodeError: two neighboring jobs do not end and start with the same frame.
        """
        gap = self._first_gap(results)
        if gap is not None:
            where = f"after {self._seconds(gap):.2f} s the segment jobs of two workers do not meet"
            raise EncodeError(self._config.target, f"{where}; run it with --workers 1 --fresh")
        manifest = self._store.manifest
        manifest.segments = [segment for result in results for segment in result.segments]
        manifest.engine = results[0].engine
        if len({segment.header for segment in manifest.segments}) > 1:
            raise EncodeError(self._config.target, "the encoder writes different headers for its segments")
        self._merge_damage(results)
        lines = dict.fromkeys(notice for result in results for notice in result.notices)
        notices.extend(line for line in lines if line not in notices.lines)
        if len({_without_number(result.engine) for result in results}) > 1:
            notices("segment jobs used different engines; give --engine and --precision to use one for all")
        elif len(codes := {result.engine.get("code", "") for result in results}) > 1:
            notices(
                f"segment jobs used an engine of several kinds, which round differently: {'; '.join(sorted(codes))}"
            )
        for number, mean, largest in self._visible():
            notices(
                f"after {self._seconds(number):.2f} s, at a boundary between workers, the frame differs by up to "
                f"{largest:.0f} levels ({mean:.2f} on average) from that of one worker; --workers 1 has no boundaries"
            )
        self.frames_reused = sum(result.frames_reused for result in results)

    def _better_starts(self, results: Sequence[SegmentResult], done: Iterable[int]) -> dict[int, SegmentStart]:
        """Return other starts for the jobs that do not match the job before, by number of the job."""
        starts, gap = self._starts(), self._first_gap(results)
        if gap is None:
            visible = [number for number, _, _ in self._visible() if number not in done]
            found = {number: extend_warm_up(self._source, starts[number - 1], self._warm_up) for number in visible}
        else:  # if one seek failed, later ones may have failed by as much, so that their jobs match each other
            after = [number for number in range(gap, len(starts) + 1) if number not in done]
            found = {number: replace(starts[number - 1], previous_digest="") for number in after}
        return {number: start for number, start in found.items() if start != starts[number - 1]}

    def _first_gap(self, results: Sequence[SegmentResult]) -> int | None:
        """Return the first job that does not start with the frame at which the job before ends; None if all do."""
        is_damaged = any(result.damage for result in results)  # damaged input may decode differently after a seek
        for number, frames in self._boundaries().items():
            if frames is None or not frames[0].is_same(frames[1], ignore_digest=is_damaged):
                return number
        return None

    def _visible(self) -> list[tuple[int, float, float]]:
        """Return the number of each job with a visible boundary, and mean and largest difference there."""
        found = [(number, *frames[0].difference(frames[1])) for number, frames in self._boundaries().items() if frames]
        return [each for each in found if each[1] >= self._tolerance.mean or each[2] >= self._tolerance.largest]

    def _boundaries(self) -> dict[int, tuple[BoundaryFrame, BoundaryFrame] | None]:
        """Return the first frame of each job, stylized by the job before and by the job, by number of the job.

        The first job has none. None if the frames cannot be read.
        """
        folders = self._folders()
        return {number: read_boundary(folders[number - 1], folders[number]) for number in range(1, len(folders))}

    def _merge_damage(self, results: Sequence[SegmentResult]) -> None:
        """Add the damage of all jobs to that of the source; near boundaries, two jobs find the same place."""
        found = {damage.key: damage.as_json() for damage in self._source.damage}
        known = len(found)
        for place in (place for result in results for place in result.damage):
            found.setdefault(Damage.from_json(place).key, place)
        self._source.restore_damage(list(found.values())[known:])
        self._store.manifest.damage = [place.as_json() for place in self._source.damage]

    def _split(self) -> dict[str, Any]:
        return self._store.manifest.split or {"starts": [], "extended": [], "threads": 0, "sharers": 1}

    def _starts(self) -> list[SegmentStart]:
        return [SegmentStart(**start) for start in self._split()["starts"]]

    def _seconds(self, number: int) -> float:
        return float(self._starts()[number - 1].pts * self._store.manifest.time_base)

    def _folders(self) -> list[str]:
        return [job_dir_path(self._config.target, number) for number in range(len(self._starts()) + 1)]


def _with_threads(config: VideoConfig, threads: int) -> VideoConfig:
    """Return ``config`` for a worker with ``threads`` cores; stale output was deleted before the split."""
    return replace(
        config,
        fresh=False,
        stylize=replace(config.stylize, threads=config.stylize.threads or threads),
        decode=replace(config.decode, threads=config.decode.threads or threads),
        encode=replace(config.encode, threads=config.encode.threads or threads),
    )


def _finished_frames(folder: str) -> int:
    with suppress(ManifestError):
        manifest = read_manifest(folder)
        return 0 if manifest is None else manifest.frames
    return 0


def _without_number(engine: Mapping[str, Any]) -> tuple[object, ...]:
    """Return an engine without the number of its device."""
    return engine["engine"], engine["precision"], str(engine["device"]).partition(":")[0]
