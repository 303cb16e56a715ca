"""The interface of workers, which may be processes on this machine or a cluster: segment jobs, results, executor.

A job describes its part of the clip by paths, options and times. A worker reads the input and writes into the work
folder next to the output: all workers must see both under the same paths.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.config import VideoConfig
from pipeline.encode.writer import EncodeReport
from pipeline.resume.work_folder.segment_record import Segment


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """Where a segment job starts that is not the first; pts are in units of the source's time base.

    Attributes:
        pts: pts of its first frame.
        stylized_from_pts: pts of the first warm-up frame that is stylized, though not written; ``pts`` at a scene cut.
        observed_from_pts: pts of the first warm-up frame; only the noise filter observes those before
            ``stylized_from_pts``.
        previous_pts: pts of the frame before all these, by which they are found.
        previous_digest: hash of that frame as decoded, see `pipeline.resume.segments.frame_digest`; empty if the input
            has to be decoded from its start, because seeking leads to other frames.
    """

    pts: int
    stylized_from_pts: int
    observed_from_pts: int
    previous_pts: int
    previous_digest: str


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """A part of a clip for one worker. It contains all that is needed, and can be pickled.

    Attributes:
        config: configuration of the whole clip, with the number of threads that this job may use.
        identity: identity of the whole clip, see `pipeline.resume.fingerprint`; partial output of another clip is
            deleted.
        number: number of the job, from 0.
        start: where the job starts, None at the start of the clip.
        end_pts: pts of the first frame after the job, None at the end of the clip.
        sharers: number of workers that share the memory of the clip in equal parts, 1 or more.
        input_signature: `file_signature` of the input on the machine that split the clip, with which a worker makes
            sure that it reads the same file; None skips that.
    """

    config: VideoConfig
    identity: dict[str, Any]
    number: int = 0
    start: SegmentStart | None = None
    end_pts: int | None = None
    sharers: int = 1
    input_signature: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class JoinJob:
    """The rest of a clip whose frames are all stylized, for one worker: concatenate the segments into the output.

    Attributes:
        config: configuration of the whole clip.
        identity: identity of the whole clip.
        input_signature: as in `SegmentJob`.
    """

    config: VideoConfig
    identity: dict[str, Any]
    input_signature: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """The finished segments of a job, in its work folder: see `pipeline.resume.work_folder.manifest.job_dir_path`.

    Attributes:
        segments: the segments in their order; their files are named relative to the clip's work folder.
        engine: the engine that stylized them, see `pipeline.resume.engine.engine_of`.
        frames_reused: number of frames that an earlier run stylized.
        damage: places where the input could not be read, see `pipeline.media.damage.Damage.as_json`.
        notices: messages for the user, one line each.
    """

    segments: tuple[Segment, ...]
    engine: dict[str, Any]
    frames_reused: int = 0
    damage: tuple[dict[str, Any], ...] = ()
    notices: tuple[str, ...] = ()


class SegmentExecutor(Protocol):
    """Runs several segment jobs at once, each by `pipeline.workers.segment_job.run_segment_job` on some worker."""

    threads: int
    """Number of cores for each job; 0 if the worker decides."""
    sharers: int
    """Number of workers that share a device and its memory."""

    @property
    def workers(self) -> int:
        """Number of jobs that run at once; it may change while workers come and go."""

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        """Run ``job`` as soon as a worker is free.

        The future fails with the errors of `run_segment_job`, or with a `PipelineError` if no worker is available.
        """

    @property
    def join(self) -> "Callable[[JoinJob], Future[EncodeReport]] | None":
        """Run `pipeline.workers.join_job.run_join_job` on a worker; None if the calling process makes the output."""

    def cancel(self, futures: "Sequence[Future[Any]]") -> None:
        """Cancel these jobs, whether they are waiting, running or finished; the finished segments are resumable.

        When this returns, no worker writes into their folders: an executor that cannot stop a running job waits for it.
        """

    def close(self) -> None:
        """Stop all workers at once; the finished segments are resumable."""
