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
    """Where a part begins that is not the first.

    Attributes:
        pts: of its first frame, in units of the source's time base.
        warm_pts: of the frame that painting begins with, so that memory is there when the first frame comes.
        seen_pts: of the frame that memory begins with: up to ``warm_pts`` they are only seen. At a scene cut all three
            are the same.
        before_pts: of the frame before all these, by which they are found.
        before_digest: of that frame as it was decoded; see `pipeline.resume.segments.frame_digest`. Empty where
            the input must be
            read from its beginning, as seeking in it misleads.
    """

    pts: int
    warm_pts: int
    seen_pts: int
    before_pts: int
    before_digest: str


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """A part of a clip that is to be painted; says all that is needed, and can be pickled.

    Attributes:
        config: of the whole clip; threads are those that this part may use.
        identity: of the whole clip, see `pipeline.resume.fingerprint`; what is kept of another one is thrown away.
        number: of the part, from 0.
        begin: where it begins; None at the beginning of the clip.
        end_pts: of the first frame behind it; None at the end of the clip.
        sharers: among how many the memory is shared that the clip may take, each has the same; 1 where it has all.
    """

    config: VideoConfig
    identity: dict[str, Any]
    number: int = 0
    begin: SegmentStart | None = None
    end_pts: int | None = None
    sharers: int = 1


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """A part that lies finished in its folder, see `pipeline.workers.segment_job.folder_of`.

    Attributes:
        segments: in their order; files are named from the clip's work folder.
        engine: what painted, see `pipeline.resume.fingerprint.engine_of`.
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
