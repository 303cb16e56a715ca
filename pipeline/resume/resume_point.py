"""Whether and where a render can go on with what an earlier run kept."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.config import VideoConfig
from pipeline.decode.decoder import decode
from pipeline.errors import OutputError
from pipeline.frames import Frame, State
from pipeline.resume.fingerprint import changes
from pipeline.resume.manifest import Manifest, ManifestError, read_manifest
from pipeline.resume.segments import frame_digest
from pipeline.resume.work_dir import WorkDir, file_signature

if TYPE_CHECKING:
    from pipeline.decode.source import Source

# How far before the last kept frame reading begins; where that does not lead to the same picture, the next is tried,
# and in the end the beginning.
MARGINS_SECONDS = (1, 10)


def find_partial_output(
    folder: WorkDir, config: VideoConfig, identity: dict[str, Any], notify: Callable[[str], None]
) -> tuple[Manifest, State | None] | None:
    """What an earlier run kept, as far as it can be gone on with, and the state behind it; None, said, without any.

    Args:
        folder: in which it would lie.
        config: of this run.
        identity: of this run.
        notify: called with the reason why it cannot be used.

    Raises:
        OutputError: the output of another render stands in its place, and must not be replaced; or several workers
            began it, and one alone cannot go on.
    """
    if config.fresh:
        return None
    try:
        kept = read_manifest(folder.path)
    except ManifestError as error:
        notify(f"the manifest in {folder.path} is damaged ({error}): starting afresh")
        return None
    if kept is None:
        return None
    is_placed = is_finished(kept, config)
    is_stylized = is_placed or (kept.is_whole and folder.count_whole(kept.segments) == len(kept.segments))
    different = changes(kept.identity, _painted_as(kept.identity, identity) if is_stylized else identity)
    if is_placed and os.path.realpath(config.source) == os.path.realpath(config.target):
        different = [what for what in different if what != "input"]  # by now that is the painted clip
    if kept.split is not None and "workers" not in identity["settings"] and not is_stylized:
        began = f"a batch began it on several workers, whose work is kept in {folder.path}"
        raise OutputError(config.target, f"{began}; go on with that batch, or begin anew with --fresh")
    if different:
        if is_placed and not config.encode.overwrite:
            raise OutputError(config.target, "exists already; give another name or --overwrite")
        notify(f"what an earlier run kept was made with another {' and '.join(different)}: starting afresh")
        return None
    return (kept, None) if is_placed else _whole_part(folder, kept, notify)


def _painted_as(before: Mapping[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """``now`` for what needs no painting any more, so that it does not matter on what, nor by how many."""
    settings = {name: value for name, value in now["settings"].items() if name != "workers"}
    workers = {name: value for name, value in before.get("settings", {}).items() if name == "workers"}
    painted_on = {part: before.get(part) for part in ("software", "machine")}
    return now | painted_on | {"settings": settings | workers}


def is_finished(manifest: Manifest, config: VideoConfig) -> bool:
    """Whether the output is in its place already, and only the folder was not removed any more."""
    return manifest.placed is not None and manifest.placed == file_signature(os.path.realpath(config.target))


def _whole_part(folder: WorkDir, kept: Manifest, notify: Callable[[str], None]) -> tuple[Manifest, State | None] | None:
    """The segments up to the last that is whole and behind which the state is known."""
    named, state = len(kept.segments), None
    del kept.segments[folder.count_whole(kept.segments) :]
    kept.is_whole = kept.is_whole and len(kept.segments) == named
    while kept.segments and not kept.is_whole:
        state = folder.read_state(kept.frames)
        if state is not None:
            break
        kept.segments.pop()
    if len(kept.segments) < named:
        rest = f"going on behind frame {kept.frames}" if kept.segments else "starting afresh"
        notify(f"some of the work kept in {folder.path} is missing or damaged: {rest}")
    return (kept, state) if kept.segments or kept.split is not None else None


def frames_after_kept(source: "Source", manifest: Manifest) -> Iterator[Frame] | None:
    """What ``decode`` yields behind the last kept frame, which is found by its time and its picture.

    None where the input does not hold that frame any more.
    """
    last = manifest.segments[-1]
    # A damaged place may look otherwise when it is come to from another side.
    margins = () if manifest.damage else MARGINS_SECONDS
    return frames_from(source, last.pts[-1], last.digest, margins)


def frames_from(
    source: "Source", pts: int, digest: str, margins: tuple[int, ...] = MARGINS_SECONDS
) -> Iterator[Frame] | None:
    """What ``decode`` yields behind the frame at ``pts`` with ``digest``; None where there is none such.

    Args:
        source: a file.
        pts: of a frame, in units of the source's time base.
        digest: see `pipeline.resume.segments.frame_digest`.
        margins: how many seconds before it reading begins, one attempt after another; the last is from the beginning.
    """
    for margin in (*margins, None):
        source.restart(None if margin is None else pts * source.info.time_base - margin)
        items = decode(source)
        if _passes(items, pts, digest):
            return items
    return None


def _passes(items: Iterator[Frame], pts: int, digest: str) -> bool:
    """Iterate up to the frame at ``pts``; False where it is not met with, or looks otherwise."""
    for item in items:
        if item.pts >= pts:
            return item.pts == pts and frame_digest(item) == digest
    return False
