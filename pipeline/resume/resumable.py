"""A render that survives a crash: in segments, kept beside the output until it is whole; the same command goes on.

With a pipe on either side it is one pass, of which nothing is kept.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pipeline.atomic import explained, put_in_place
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.writer import EncodeReport, FileWriter
from pipeline.errors import DeviceError, EncodeError, InputError
from pipeline.frames import Frame, SegmentBoundary, State
from pipeline.media.packets import SidePackets
from pipeline.resume.concat import concat
from pipeline.resume.disk_space import check_space
from pipeline.resume.fingerprint import content_of, engine_of, identify, is_same
from pipeline.resume.manifest import Manifest
from pipeline.resume.resume_point import find_partial_output, frames_after_kept, is_finished
from pipeline.resume.segments import SegmentWriter, mark_segments, segment_plan
from pipeline.resume.work_dir import WorkDir, file_signature, remove
from pipeline.stylize.stylizer import Stylizer

Notify = Callable[[str], None]
Finished = Callable[[], None]
"""Called when an output is in its place, and what was kept on the way to it not yet cleared away."""


def is_resumable(config: VideoConfig) -> bool:
    """Whether all that is read, and what is written, are files: only then can a later run go on."""
    read = [path for path in (config.source, config.mask) if path is not None]
    return config.in_segments and config.target != "-" and all(os.path.isfile(path) for path in read)


def open_render(
    config: VideoConfig, plan: OutputPlan, source: Source, tag: Mapping[str, str], notify: Notify
) -> "SinglePass | ResumableRender":
    """The way on which ``source`` becomes the output of ``plan``: in segments that are kept, or in one pass.

    Raises:
        OutputError: another run paints the same output, or the room on the disk does not suffice.
        InputError: the input cannot be read.
    """
    return ResumableRender(config, plan, source, tag, notify) if is_resumable(config) else SinglePass(plan, source, tag)


class SinglePass:
    """One pass, of which nothing is kept; see `ResumableRender`."""

    def __init__(self, plan: OutputPlan, source: Source, tag: Mapping[str, str]) -> None:
        self.frames_reused = 0
        self.state: State | None = None
        self._plan = plan
        self._source = source
        self._side_packets = SidePackets()
        self._tag = tag
        self.side_work: FileWriter | None = None

    def load(self, config: StylizeConfig, make: Callable[[StylizeConfig], Stylizer]) -> Stylizer:
        """Make the stylizer, and open the output."""
        stylizer = make(config)
        self.side_work = FileWriter(self._plan, tag=self._tag, side_packets=self._side_packets)
        return stylizer

    def decoded(self) -> Iterator[Frame]:
        """All frames."""
        return decode(self._source, self._side_packets)

    def stop(self) -> None:
        """Let `decoded` end."""
        self._source.stop()
        self._side_packets.close()

    def encode(self, frames: Iterable[Frame]) -> EncodeReport:
        """Write ``frames`` as they come."""
        assert self.side_work is not None
        for frame in frames:
            self.side_work.write(frame)
        return self.side_work.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.side_work is not None:
            self.side_work.__exit__(kind, error, traceback)


class ResumableRender:
    """Work in segments; a context manager, which leaves what is worth keeping and says so in a note on the exception.

    Its methods are called in the order `load`, `decoded`, `encode`.

    Args:
        config: of the whole run.
        plan: of the output.
        source: the opened input.
        notify: called with each thing that the user should know, one line.

    Attributes:
        frames_reused: painted by earlier runs.
        state: what these frames leave to those after; None at the beginning.

    Raises:
        OutputError: another run paints the same output, or the room on the disk does not suffice.
        InputError: the input cannot be read.
    """

    side_work = None

    def __init__(
        self, config: VideoConfig, plan: OutputPlan, source: Source, tag: Mapping[str, str], notify: Notify
    ) -> None:
        self.stop = source.stop
        self._tag = tag
        self.frames_reused = 0
        self.state: State | None = None
        self._config = config
        self._plan = plan
        self._source = source
        self._notify = notify
        self._input = file_signature(config.source)
        self._folder = self._open_folder()
        self._manifest = Manifest({})
        self._is_stale = True
        try:
            self._begin()
        except BaseException as error:
            self._folder.leave(is_kept=self._folder.holds_work)  # nothing was thrown away yet
            _add_note(error, self._what_is_kept())
            raise

    def _begin(self) -> None:
        info, identity = self._source.info, self._identity()
        self._manifest = Manifest(identity, time_base=info.time_base, seconds=info.duration_seconds)
        kept = find_partial_output(self._folder, self._config, identity, self._notify)
        if kept is not None:
            self._is_stale = False
            self._manifest, self.state = kept
            self._source.restore_damage(self._manifest.damage)
            self.frames_reused = self._manifest.frames
        self._folder.forget_unfinished()
        if not is_finished(self._manifest, self._config):
            self._check_space()

    def _identity(self) -> dict[str, Any]:
        """What a kept work must have been made from and with."""
        return identify(self._config, self._plan)

    def _open_folder(self) -> WorkDir:
        """In which segments are kept."""
        return WorkDir(self._plan.target)

    def _check_space(self) -> None:
        source_bytes = self._input[0] if self._input else 0
        freed = self._folder.own_bytes() if self._is_stale else 0
        info = self._source.info
        check_space(
            self._folder.path, self._stylized(), self._plan, info, source_bytes, self._notify, freed_bytes=freed
        )

    def _stylized(self) -> Manifest:
        """What is painted already."""
        return self._manifest

    def _what_is_kept(self) -> str:
        """For people; empty where nothing is worth keeping."""
        return self._manifest.what_is_kept(self._folder.path, is_fresh=self._config.fresh)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kept = "" if error is None else self._what_is_kept()
        is_older_kept = error is not None and self._is_stale and self._folder.holds_work
        self._folder.leave(is_kept=bool(kept) or is_older_kept)
        if error is not None:
            _add_note(error, kept)

    def load(self, config: StylizeConfig, make: Callable[[StylizeConfig], Stylizer]) -> Stylizer:
        """Make the stylizer with the engine that painted what is kept; any, where nothing is left to be painted.

        Raises:
            DeviceError: it is not to be had, or what is kept was painted with one that is not to be had now.
        """
        if not self.frames_reused:
            stylizer = make(config)
            self._manifest.engine = engine_of(stylizer)
            return stylizer
        before = self._manifest.engine
        try:
            stylizer = make(replace(config, **{name: before[name] for name in ("engine", "precision", "device")}))
            reason = "" if engine_of(stylizer) == before else _engine_text(engine_of(stylizer))
        except DeviceError as error:
            if self._manifest.is_whole:
                return make(replace(config, engine="auto", precision="auto", device="auto"))
            raise DeviceError(_lacks(before, str(error))) from error
        if reason and not self._manifest.is_whole:
            raise DeviceError(_lacks(before, f"there is {reason}"))
        return stylizer

    def decoded(self) -> Iterator[Frame]:
        """The frames that are still to be painted, with a boundary at the end of each segment."""
        if self._manifest.is_whole:
            return iter(())
        items = self._behind_kept() if self.frames_reused else None
        if items is None:
            items = decode(self._source)
        config = self._config
        return mark_segments(items, self.frames_reused, seconds=config.segment_seconds, length=config.segment_frames)

    def encode(self, frames: Iterable[Frame]) -> EncodeReport:
        """Write the segments, then the output, and put it in place.

        Raises:
            EncodeError: an encoder or the container refuses something, or the disk is full.
            InputError: the input was changed or removed meanwhile.
        """
        if is_finished(self._manifest, self._config):
            return EncodeReport(self._plan.target, self._manifest.frames, 0)
        self._write_segments(frames)
        part = self._folder.file("output.part")
        try:
            return self._assembled(part, self._tag)
        except BaseException:
            remove(part)
            raise

    def _behind_kept(self) -> Iterator[Frame] | None:
        items = frames_after_kept(self._source, self._manifest)
        if items is None:
            self._start_afresh("the last kept frame is not met with in the input any more")
            self._source.restart(None)
        return items

    def _start_afresh(self, reason: str) -> None:
        self._notify(f"{reason}: starting afresh")
        old = self._manifest
        self._manifest = Manifest(old.identity, old.engine, old.time_base, old.seconds)
        self._is_stale = True
        self.frames_reused, self.state = 0, None

    def _throw_away_stale(self) -> None:
        """Clear the folder of what is not gone on with; only now, as whatever failed so far must not cost it."""
        if self._is_stale:
            self._folder.clear()
            self._is_stale = False

    def _write_segments(self, frames: Iterable[Frame]) -> None:
        plan = segment_plan(self._plan, self._manifest.time_base)
        writer: SegmentWriter | None = None
        try:
            for frame in frames:
                with explained(self._plan.target):
                    self._throw_away_stale()
                    writer = writer or SegmentWriter(self._folder.path, self._manifest.frames, plan)
                    writer.write(frame)
                    if frame.boundary is not None:
                        self._keep(writer, frame.digest or "", frame.boundary)
                        writer = None
        except BaseException:
            if writer is not None:
                writer.abandon()
            raise
        self._check_input()
        self._throw_away_stale()
        self._manifest.is_whole = True
        with explained(self._plan.target):
            self._manifest.write(self._folder.path)

    def _keep(self, writer: SegmentWriter, digest: str, boundary: SegmentBoundary) -> None:
        """Finish a segment: from here on it survives whatever comes."""
        self._check_input()
        manifest = self._manifest
        segment = writer.finish(digest)
        if manifest.segments and segment.header != manifest.segments[0].header:
            raise EncodeError(self._plan.target, f"{self._plan.encoder.name} does not begin all segments alike")
        self._folder.write_state(boundary.next_index, boundary.state)
        manifest.segments.append(segment)
        manifest.damage = [place.as_json() for place in self._source.damage]
        manifest.write(self._folder.path)
        newest_two = sum(len(each.pts) for each in manifest.segments[-2:])  # should the disk lose the last one
        self._folder.forget_state(manifest.frames - newest_two)

    def _assembled(self, part: str, tag: Mapping[str, str]) -> EncodeReport:
        indexes = {stream.stream.index for stream in self._plan.carried}
        others = self._source.packets(indexes)
        report = concat(part, self._folder.path, self._manifest, self._plan, others, tag)
        self._check_input()
        with explained(self._plan.target):
            self._manifest.placed = file_signature(part)
            self._manifest.write(self._folder.path)
            put_in_place(part, os.path.realpath(self._plan.target), replaces=self._plan.replaces)
        return report

    def _check_input(self) -> None:
        """What was painted of one file must not be joined with the sound of another."""
        path = self._config.source
        now = file_signature(path)
        if now is None:
            raise InputError(path, "has vanished while it was painted; put it back")
        if now != self._input and not is_same(content_of(path), self._manifest.identity["input"]):
            raise InputError(path, "was changed while it was painted; paint it again")
        self._input = now


def _add_note(error: BaseException, line: str) -> None:
    if line:
        error.add_note(line)


def _lacks(engine: Mapping[str, Any], reason: str) -> str:
    stylized = f"the kept frames were painted with {_engine_text(engine)}"
    return f"{stylized}, which is not to be had now ({reason}): bring it back, or begin anew with --fresh"


def _engine_text(engine: Mapping[str, Any]) -> str:
    text = f"{engine['engine']} {engine['precision']} on {engine['device']}"
    workers, rows = engine.get("workers"), engine.get("strip_rows")
    return text + (f" in {workers} workers" if workers else "") + (f" in strips of {rows} rows" if rows else "")
