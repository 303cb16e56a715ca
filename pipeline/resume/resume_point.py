"""Where to resume: what an earlier run finished, and the place in the input after it."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source
from pipeline.errors import OutputError
from pipeline.frames import Frame, State
from pipeline.resume.fingerprint import differences
from pipeline.resume.segments import frame_digest
from pipeline.resume.work_folder.manifest import Manifest, ManifestError, read_manifest
from pipeline.resume.work_folder.work_dir import WorkDir

# Seconds before a frame at which decoding starts in order to find it; if that does not lead to the same frame, the next
# margin is tried, and at last the start of the clip.
MARGINS_SECONDS = (1, 10)


@dataclass(frozen=True)
class ResumePoint:
    """What an earlier run finished.

    Attributes:
        manifest: the finished segments.
        state: what the stylizer remembers after their last frame; None if all are finished.
    """

    manifest: Manifest
    state: State | None = None


def find_resume_point(
    work_dir: WorkDir, config: VideoConfig, identity: Mapping[str, Any], notify: Callable[[str], None]
) -> ResumePoint | None:
    """Return what an earlier run finished, as far as it can be used; None if nothing can.

    Args:
        work_dir: where that run stored it.
        config: of this run.
        identity: of this run.
        notify: called with the reason why partial output cannot be used.

    Raises:
        OutputError: the output of another render is in place and must not be replaced, or the partial output was
            started by several workers and this run has only one.
    """
    if config.fresh:
        return None
    try:
        manifest = read_manifest(work_dir.path)
    except ManifestError as error:
        notify(f"the manifest in {work_dir.path} is unusable ({error}): starting from scratch")
        return None
    if manifest is None:
        return None
    is_placed = manifest.is_placed(config.target)
    is_stylized = is_placed or (
        manifest.is_complete and work_dir.count_intact(manifest.segments) == len(manifest.segments)
    )
    different = differences(manifest.identity, _as_stylized(manifest.identity, identity) if is_stylized else identity)
    if is_placed and os.path.realpath(config.source) == os.path.realpath(config.target):
        different = [what for what in different if what != "input"]  # which the stylized clip has replaced
    if manifest.split is not None and "workers" not in identity["settings"] and not is_stylized:
        reason = f"several workers of a batch started it, their partial output is in {work_dir.path}"
        raise OutputError(config.target, f"{reason}; run that batch again, or start from scratch with --fresh")
    if different:
        if is_placed and not config.encode.overwrite:
            raise OutputError(config.target, "exists already; give another name or --overwrite")
        notify(f"the partial output was made with another {' and '.join(different)}: starting from scratch")
        return None
    if not is_stylized and not work_dir.has_styles(manifest.styles):
        notify(f"a refined style in {work_dir.path} is missing or damaged: starting from scratch")
        return None
    return ResumePoint(manifest) if is_placed else _intact_part(work_dir, manifest, notify)


def _as_stylized(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``now`` with the machine and the number of workers of ``before``: all frames are stylized already."""
    settings = {name: value for name, value in now["settings"].items() if name != "workers"}
    workers = {name: value for name, value in before.get("settings", {}).items() if name == "workers"}
    stylized_on = {part: before.get(part) for part in ("software", "machine")}
    return {**now, **stylized_on, "settings": settings | workers}


def _intact_part(work_dir: WorkDir, manifest: Manifest, notify: Callable[[str], None]) -> ResumePoint | None:
    """Drop all segments from the first damaged one on, and those after whose end the state is unknown."""
    named, state = len(manifest.segments), None
    del manifest.segments[work_dir.count_intact(manifest.segments) :]
    manifest.is_complete = manifest.is_complete and len(manifest.segments) == named
    while manifest.segments and not manifest.is_complete:
        state = work_dir.read_state(manifest.frames, manifest.segments[-1].state)
        if state is not None:
            break
        manifest.segments.pop()
    if len(manifest.segments) < named:
        rest = f"resuming after frame {manifest.frames}" if manifest.segments else "starting from scratch"
        notify(f"some of the partial output in {work_dir.path} is missing or damaged: {rest}")
    return ResumePoint(manifest, state) if manifest.segments or manifest.split is not None else None


def frames_after_segments(source: Source, manifest: Manifest) -> Iterator[Frame] | None:
    """Return the frames after the last finished segment, None if the input does not contain its last frame."""
    last = manifest.segments[-1]
    # A damaged place may decode differently from another starting point.
    margins = () if manifest.damage else MARGINS_SECONDS
    return frames_after(source, last.pts[-1], last.digest, margins)


def frames_after(
    source: Source, pts: int, digest: str, margins: tuple[int, ...] = MARGINS_SECONDS
) -> Iterator[Frame] | None:
    """Return the frames after the one at ``pts`` with ``digest``, None if there is no such frame.

    Args:
        source: a file.
        pts: of a frame, in units of the source's time base.
        digest: of that frame, see `pipeline.resume.segments.frame_digest`.
        margins: seconds before the frame at which decoding starts, one attempt after another; then from the start.
    """
    for margin in (*margins, None):
        source.restart(None if margin is None else pts * source.info.time_base - margin)
        frames = decode(source)
        if _advance_past(frames, pts, digest):
            return frames
    return None


def _advance_past(frames: Iterator[Frame], pts: int, digest: str) -> bool:
    """Consume ``frames`` up to the one at ``pts``; return whether it is there, with ``digest``."""
    for frame in frames:
        if frame.pts >= pts:
            return frame.pts == pts and frame_digest(frame) == digest
    return False
