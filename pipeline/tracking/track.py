"""Track the mask of a clip before it is stylized: decode it once, small, and write the mask of each frame to a file."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from pipeline.config import DecodeConfig, VideoConfig
from pipeline.config.arguments import SMALLEST_SIDE_PX
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source, open_source
from pipeline.encode.errors import encode_errors
from pipeline.errors import DeviceError, InputError
from pipeline.frames import VideoInfo
from pipeline.media.image_sequence import find_sequence, wanted_numbers
from pipeline.media.mask_record import MaskRecordWriter
from pipeline.notices import Notify
from pipeline.stylize.opencv import opencv_available
from pipeline.threads import prefetch
from pipeline.tracking.key_frames import KeyFrames, find_key_frames
from pipeline.tracking.report import Gaps
from pipeline.tracking.shots import NumberedFrame
from pipeline.tracking.tracker import MaskTracker

ReportTracking = Callable[[int, int | None], None]
"""Called with the number of frames whose masks are known, and the estimated number of all."""

# Longer side of the frames whose flow is estimated, and of the masks.
FLOW_PX, MASK_PX = 384, 1280
_DEPTH = 4


def track_mask(config: VideoConfig, source: Source, path: str, *, report: ReportTracking, notify: Notify) -> None:
    """Write the masks of the frames of ``source`` into ``path``; see `pipeline.media.mask_record`.

    Args:
        config: the clip, and the key frames.
        source: the opened clip, of which only description and times are used.
        path: of an empty file.
        report: called after each frame; what it raises ends the work.
        notify: called with each notice, one line.

    Raises:
        InputError: the clip or a key frame cannot be read, or no key frame is one of its frames.
        DeviceError: OpenCV does not load.
        EncodeError: the disk is full.
    """
    if not opencv_available():
        raise DeviceError("--mask-track needs OpenCV, which does not load; `flowbrush doctor` reports what is missing")
    keys, info = find_key_frames(config.mask or ""), source.info
    with (
        open_source(config.source, _small_part(config, keys, info), with_side_packets=False) as small,
        encode_errors(config.target),
        MaskRecordWriter(path, info.time_base) as record,
    ):
        tracker = MaskTracker(keys, _mask_size(info))
        frames = _numbered(small, config.decode.start_number)
        ahead = round((source.shift_seconds - small.shift_seconds) / info.time_base)
        first = last = None
        with (
            prefetch(frames, depth=_DEPTH, name="decode") as decoded,
            prefetch(tracker(decoded), depth=_DEPTH, name="track") as tracked,
        ):
            for each in tracked:
                if each.pts < ahead:
                    continue
                if _is_after(config, (each.pts - ahead) * info.time_base):
                    last = each.number
                    break
                first = each.number if first is None else first
                record.write(each.pts - ahead, each.mask)
                report(each.number - first + 1, info.frame_count)
    _conclude(keys, tracker.gaps, first or 0, last, notify)


def with_tracked_mask(
    config: VideoConfig, find: Callable[[Callable[[str], None]], str], track: Callable[[str], None]
) -> VideoConfig:
    """Return ``config`` with the file of the tracked mask in place of the key frames; unchanged if none is tracked.

    Args:
        config: of the clip.
        find: returns the file, as `SegmentStore.tracked_mask` does.
        track: writes it.
    """
    return replace(config, mask=find(track)) if config.mask_track else config


def _small_part(config: VideoConfig, keys: KeyFrames, info: VideoInfo) -> DecodeConfig:
    """Return what to read: the whole file if its frames are counted, at the size at which their flow is estimated."""
    longer = max(info.width, info.height)
    scale = FLOW_PX / longer if longer > FLOW_PX else FLOW_PX // longer
    height = max(round(info.height * scale), SMALLEST_SIDE_PX)
    part = replace(config.decode, height=height, strict=False)
    return replace(part, start_seconds=None, duration_seconds=None) if keys.are_numbered else part


def _mask_size(info: VideoInfo) -> tuple[int, int]:
    scale = min(MASK_PX / max(info.width, info.height), 1)
    return max(round(info.height * scale), 1), max(round(info.width * scale), 1)


def _numbered(small: Source, start_number: int | None) -> Iterator[NumberedFrame]:
    """Yield the frames with their numbers: those of the pictures of a sequence, otherwise from 0."""
    sequence = find_sequence(small.info.path)
    first = None if sequence is None else wanted_numbers(sequence, start_number)[0]
    for index, frame in enumerate(decode(small)):
        number = index if first is None else first + frame.pts
        yield NumberedFrame(number, frame.pts, np.asarray(frame.pixels, np.uint8))


def _is_after(config: VideoConfig, seconds: Fraction) -> bool:
    """Return whether a time lies after the part that is stylized, by more than its limits may be rounded."""
    return config.decode.duration_seconds is not None and seconds > config.decode.duration_seconds + 1


def _conclude(keys: KeyFrames, gaps: Gaps, first: int, last: int | None, notify: Notify) -> None:
    """Report the gaps in the frames from ``first`` on; ``last`` is None if the whole clip was read.

    Raises:
        InputError: no key frame is one of the clip's.
    """
    numbers = [number for number in keys.paths if last is None or number <= last]
    if numbers and not gaps.used:
        reason = f"none of its pictures is of a frame of the clip, which has frames {gaps.first} to {gaps.last}"
        raise InputError(keys.mask, f"{reason}; name each after the number of its frame")
    for line in gaps.lines(numbers, first):
        notify(line)
