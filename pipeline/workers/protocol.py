"""Who paints parts of clips: one small interface, behind which processes of this machine stand, or a cluster.

A part is described, never sent: paths, options and times. Whoever paints it reads the input and writes into the work
folder beside the output, which all must see under the same paths.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.config import VideoConfig
from pipeline.resume.manifest import Segment


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """Where a segment job starts that is not the first; pts are in units of the source's time base.

    Attributes:
        pts: of its first frame.
        stylized_from_pts: of the first warm-up frame that is stylized, though not written; ``pts`` at a scene cut.
        observed_from_pts: of the first warm-up frame; those before ``stylized_from_pts`` are only observed by the noise
            filter.
        previous_pts: of the frame before all these, by which they are found.
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
    """A part of a clip for one worker; complete, and can be pickled.

    Attributes:
        config: of the whole clip, with the number of threads that this job may use.
        identity: of the whole clip, see `pipeline.resume.fingerprint`; partial output of another one is deleted.
        number: of the job, from 0.
        start: where it starts; None at the start of the clip.
        end_pts: pts of the first frame after it; None at the end of the clip.
        sharers: number of workers that share the memory which the clip may use, equally.
    """

    config: VideoConfig
    identity: dict[str, Any]
    number: int = 0
    start: SegmentStart | None = None
    end_pts: int | None = None
    sharers: int = 1


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """A part that lies finished in its folder, see `pipeline.resume.manifest.job_dir_path`.

    Attributes:
        segments: in their order; files are named from the clip's work folder.
        engine: what painted, see `pipeline.resume.engine.engine_of`.
        frames_reused: of it that were painted before.
        damage: places of the input that could not be read, see `pipeline.media.damage.Damage.as_json`.
        notices: what the user should know, a line each.
    """

    segments: tuple[Segment, ...]
    engine: dict[str, Any]
    frames_reused: int = 0
    damage: tuple[dict[str, Any], ...] = ()
    notices: tuple[str, ...] = ()


class SegmentExecutor(Protocol):
    """Paints parts of clips, several at once: somewhere it calls `pipeline.workers.segment_job.run_segment_job`."""

    workers: int
    """How many parts are painted at once."""
    threads: int
    """Cores that each of these may use; 0 leaves it to them."""
    sharers: int
    """How many of them share a device, and its memory."""

    def submit(self, task: SegmentJob) -> "Future[SegmentResult]":
        """Begin with ``task`` as soon as somebody is free.

        The future fails with what `pipeline.workers.segment_job.run_segment_job` raises, and with a
        `PipelineError` where nobody is
        there to do it.
        """

    def cancel(self, futures: Sequence["Future[SegmentResult]"]) -> None:
        """End these parts, which nobody waits for any more; what is done already, or not begun, too.

        They may be ended in the middle of anything: finished segments are kept. Afterwards nobody writes into their
        folders; an engine that cannot end what is being painted waits for it.
        """

    def close(self) -> None:
        """End at once, whatever is being painted: finished segments are kept."""
