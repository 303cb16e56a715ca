"""Write frames as an image sequence: each a picture of its own, named by a number."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.config import EncodeConfig
from pipeline.encode.output_plan import StreamMapping
from pipeline.encode.planner import Source
from pipeline.encode.writer import EncodeReport, Writer
from pipeline.errors import EncodeError, OutputError
from pipeline.frames import Frame
from pipeline.media.image_sequence import ImageSequence, find_sequence, wanted_numbers
from pipeline.media.photo.photo import Photo
from pipeline.media.photo.writer import FORMAT_OF_SUFFIX, check_format, write_photo
from pipeline.media.pixels.alpha import background_grey, composite
from pipeline.media.pixels.colorspace import BT2020
from pipeline.system.files.atomic import replace_atomically
from pipeline.system.folders import make_folder

FIRST_NUMBER = 1
_FORMAT_WITHOUT_ALPHA = "jpeg"


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """Everything about an image sequence to write but its pixels; made by `plan_sequence`.

    Attributes:
        sequence: names of the pictures.
        first: number of the first picture.
        replaces: whether pictures that exist are replaced.
        counts_pts: whether the number grows with the pts, as the source is a sequence too, and pictures may be missing.
        background: grey (0 or 255) under transparent frames if the format has no transparency.
        streams: what happens to each other stream of the source: it is dropped.
        notices: what the user should know, one line each.
    """

    sequence: ImageSequence
    first: int
    replaces: bool
    counts_pts: bool
    background: int
    streams: tuple[StreamMapping, ...]
    notices: tuple[str, ...]

    @property
    def target(self) -> str:
        """The pattern as the user named it."""
        return self.sequence.pattern

    @property
    def format(self) -> str:
        """Format of the pictures."""
        return FORMAT_OF_SUFFIX[self.sequence.suffix.lower()]


def plan_sequence(
    source: Source,
    sequence: ImageSequence,
    config: EncodeConfig,
    *,
    size: tuple[int, int],
    start_number: int | None = None,
) -> SequencePlan:
    """Return the plan by which stylized frames become an image sequence.

    Args:
        source: the opened input.
        sequence: names of the pictures.
        config: what is asked for.
        size: width and height of the stylized frames in pixels.
        start_number: number of the first picture; None takes that of a source that is a sequence, else 1.

    Raises:
        OutputError: the pictures cannot be written there.
    """
    target = sequence.pattern
    if sequence.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise OutputError(target, f"pictures of a sequence end in {', '.join(FORMAT_OF_SUFFIX)}")
    if (config.codec, config.quality, config.preset) != ("auto", None, None):
        raise OutputError(target, "pictures have no codec, quality or preset of a video; leave these options out")
    check_format(sequence.path(FIRST_NUMBER), size)
    read = find_sequence(source.info.path)
    if read is not None and os.path.realpath(read.path(0)) == os.path.realpath(sequence.path(0)):
        raise OutputError(target, "is the input; give another folder or name")
    _check_folder(sequence, may_replace=config.overwrite)
    first = start_number
    if first is None:
        first = FIRST_NUMBER if read is None else wanted_numbers(read, None)[0]
    plan = SequencePlan(
        sequence,
        first,
        replaces=config.overwrite,
        counts_pts=read is not None,
        background=background_grey(source.info.container),
        streams=tuple(
            StreamMapping(stream, action="drop", reason="pictures have no other streams")
            for stream in source.other_streams
        ),
        notices=(),
    )
    return _with_notices(plan, source, config)


def _with_notices(plan: SequencePlan, source: Source, config: EncodeConfig) -> SequencePlan:
    notices = ["an image sequence is rendered in one pass; an interrupted run starts from the beginning"]
    info = source.info
    if plan.streams and config.streams != "none":
        kinds = sorted({str(stream.entry["type"]) for stream in plan.streams})
        notices.append(f"{', '.join(kinds)} and times are dropped: pictures have none")
    if info.sample_aspect_ratio != 1:
        notices.append("the pixel aspect ratio is lost: pictures have square pixels")
    if info.color.primaries == BT2020:
        notices.append("colors are those of BT.2020, which the pictures do not say")
    if info.has_alpha and plan.format == _FORMAT_WITHOUT_ALPHA:
        notices.append("a JPEG has no transparency: frames are composited")
    return replace(plan, notices=tuple(notices))


def _check_folder(sequence: ImageSequence, *, may_replace: bool) -> None:
    """Check that the pictures can be written; create their folder if it is the only one that is missing."""
    target, folder = sequence.pattern, sequence.folder
    if not folder.absolute().parent.is_dir():
        raise OutputError(target, f"there is no folder {folder.absolute().parent}; create it first")
    try:
        make_folder(folder)
    except OSError as error:
        raise OutputError(target, f"the folder {folder} cannot be created ({error.strerror})") from error
    numbers = sequence.numbers()
    if numbers and not may_replace:
        names = (
            f"{sequence.name(numbers[0])} to {sequence.name(numbers[-1])}" if numbers[1:] else sequence.name(numbers[0])
        )
        raise OutputError(target, f"has {len(numbers)} pictures already ({names}); give another name or --overwrite")


class SequenceWriter(Writer):
    """Writes the pictures into a work folder, and moves them into place when all are complete; a context manager.

    Args:
        plan: made by `plan_sequence`.
        work_folder: private folder on the same disk.
        tag: metadata of the clip, whose comment names the software.
    """

    def __init__(self, plan: SequencePlan, work_folder: str, *, tag: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._plan = plan
        self._folder = Path(work_folder)
        self._software = (tag or {}).get("comment")
        self._numbers: list[int] = []

    def write(self, frame: Frame) -> None:
        """Write the picture of ``frame``."""
        plan = self._plan
        number = plan.first + (frame.pts if plan.counts_pts else len(self._numbers))
        pixels, alpha = frame.pixels, frame.alpha
        if alpha is not None and plan.format == _FORMAT_WITHOUT_ALPHA:
            pixels, alpha = composite(pixels, alpha, plan.background), None
        write_photo(self._file(number), Photo(pixels, alpha), software=self._software, overwrite=True)
        self._numbers.append(number)

    def finish(self) -> EncodeReport:
        """Move the pictures into place.

        Raises:
            EncodeError: a picture was created there meanwhile, or the disk fails.
        """
        sequence = self._plan.sequence
        for number in self._numbers:
            try:
                replace_atomically(str(self._file(number)), str(sequence.path(number)), may_replace=self._plan.replaces)
            except OSError as error:
                raise EncodeError(sequence.path(number), f"cannot be written ({error.strerror})") from error
        stale = sorted({*sequence.numbers()} - {*self._numbers})
        notices = (f"{len(stale)} pictures of an earlier run stay, as {sequence.name(stale[0])}",) if stale else ()
        return EncodeReport(sequence.pattern, len(self._numbers), 0, notices)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:08}{self._plan.sequence.suffix}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave what was written to the owner of the work folder."""
