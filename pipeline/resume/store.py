"""Write frames as segments into a work folder, where finished segments survive a crash."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.config import StylizeConfig, VideoConfig
from pipeline.decode.source import Source
from pipeline.encode.errors import encode_errors
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.writer import Writer
from pipeline.errors import EncodeError
from pipeline.frames import Frame, SegmentBoundary, State
from pipeline.notices import Notify
from pipeline.resume.disk_space import check_space
from pipeline.resume.engine import record_engine
from pipeline.resume.fingerprint import InputCheck
from pipeline.resume.refined import Refine, pictures_of, with_styles
from pipeline.resume.resume_point import find_resume_point, frames_after_segments
from pipeline.resume.segments import SegmentWriter, segment_plan
from pipeline.resume.work_folder.manifest import Manifest, job_dir_path
from pipeline.resume.work_folder.work_dir import WorkDir, job_manifests, partial_output_text, used_bytes
from pipeline.system.files.atomic import remove, replace_atomically, reserve


class SegmentStore(Writer):
    """Writes frames as segments into a work folder, after the finished segments of earlier runs.

    A context manager: its exit unlocks the folder, and removes it unless it contains partial output. A note on the
    exception describes partial output. The folder of a segment job is never removed.

    Args:
        config: of the whole run.
        plan: of the output.
        source: the opened input.
        identify: returns the identity of the render, see `pipeline.resume.fingerprint`; called in the locked folder.
        notify: called with each notice, one line.
        job: number of the segment job; None for a whole clip.

    Attributes:
        work_dir: the folder.
        manifest: lists the finished segments, and identifies the render.
        state: temporal state of the stylizer after these segments; None at the start of the clip.
        frames_reused: number of frames that earlier runs finished.

    Raises:
        OutputError: another run is writing the same output, or there is too little disk space.
        InputError: the input cannot be read.
    """

    def __init__(
        self,
        config: VideoConfig,
        plan: OutputPlan,
        source: Source,
        identify: Callable[[], dict[str, Any]],
        notify: Notify,
        *,
        job: int | None = None,
    ) -> None:
        super().__init__()
        self.state: State | None = None
        self.frames_reused = 0
        self.manifest = Manifest({})
        self._config = config
        self._plan = plan
        self._source = source
        self._identify = identify
        self._notify = notify
        self._is_job = job is not None
        self._is_stale = True
        self._is_released = False
        self._check = InputCheck(config.source)
        self._segment: SegmentWriter | None = None
        self.work_dir = WorkDir(plan.target, None if job is None else job_dir_path(plan.target, job))

    def __enter__(self) -> Self:
        try:
            self._find_partial_output()
            self.work_dir.remove_unfinished()
            if not self._is_job and not self.is_placed:
                self._check_space()
        except BaseException as error:
            self._leave(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)

    @property
    def is_complete(self) -> bool:
        """Whether all frames are finished."""
        return self.manifest.is_complete

    @property
    def is_placed(self) -> bool:
        """Whether the output is in place already."""
        return self.manifest.is_placed(self._config.target)

    def frames_to_resume(self) -> Iterator[Frame] | None:
        """Return the frames after the finished segments; None to start from scratch.

        None is returned if no segment is finished, or, with a notice, if the input lacks the last finished frame.
        """
        if not self.manifest.segments:
            return None
        frames = frames_after_segments(self._source, self.manifest)
        if frames is None:
            self._notify("the last finished frame is not found in the input: starting from scratch")
            self._set_manifest(self.manifest.identity)
            self._source.restart(None)
        return frames

    def refined(self, refine: Refine) -> StylizeConfig:
        """Return the settings with a refined style in place of each picture: the same after each interruption.

        Args:
            refine: refines the style of a picture; not called for styles that an earlier run has refined.

        Raises:
            EncodeError: the disk is full.
        """
        stylize = self._config.stylize
        pictures = pictures_of(stylize)
        if len(self.manifest.styles) != len(pictures):
            preview = Path(self.work_dir.file("refine.png"))
            contents = [refine(Path(picture), preview) for picture in pictures]
            self.clear_stale()
            with encode_errors(self._plan.target):
                self.manifest.styles = [self.work_dir.write_style(*each) for each in enumerate(contents)]
        files = [self.work_dir.style_file(number) for number in range(len(pictures))]
        return with_styles(stylize, dict(zip(pictures, files, strict=True)))

    def tracked_mask(self, track: Callable[[str], None]) -> str:
        """Return the path of the tracked mask.

        Args:
            track: writes it into a file; not called if an earlier run has tracked it.

        Raises:
            EncodeError: the disk is full.
        """
        path = self.work_dir.mask_file
        if self.manifest.mask is None or self.work_dir.mask_digest() != self.manifest.mask:
            self.clear_stale()
            with encode_errors(self._plan.target):
                temporary = reserve(f"{path}.part")
                try:
                    track(temporary)
                    replace_atomically(temporary, path)
                except BaseException:
                    remove(temporary)
                    raise
                self.manifest.mask = self.work_dir.mask_digest()
        return path

    def clear_stale(self) -> None:
        """Remove partial output that cannot be resumed; called late, so that a failure before does not destroy it."""
        if self._is_stale:
            self.work_dir.clear()
            self._is_stale = False

    def write(self, frame: Frame) -> None:
        """Encode ``frame`` into the current segment, and finish the segment at its boundary.

        Raises:
            EncodeError: the encoder rejects the frame, or the disk is full.
            InputError: the input was changed or removed since the start.
        """
        with encode_errors(self._plan.target):
            self.clear_stale()
            if self._segment is None:
                plan = segment_plan(self._plan, self.manifest.time_base)
                self._segment = SegmentWriter(self.work_dir.path, self.manifest.frames, plan)
            self._segment.write(frame)
            if frame.boundary is not None:
                self._finish_segment(self._segment, frame.digest or "", frame.boundary)
                self._segment = None

    def complete(self) -> None:
        """Mark the clip, or the segment job, as complete in the manifest."""
        self.check_input()
        self.clear_stale()
        self.manifest.is_complete = True
        self.write_manifest()

    def release(self) -> None:
        """Unlock the folder and keep it for another process, which takes over from here."""
        self.work_dir.close(is_kept=True)
        self._is_released = True

    def check_input(self) -> None:
        """Raise `InputError` if the input was changed or removed since the start."""
        self._check(self.manifest.identity)

    def write_manifest(self) -> None:
        """Write the manifest into the folder."""
        with encode_errors(self._plan.target):
            self.manifest.write(self.work_dir.path)

    def _find_partial_output(self) -> None:
        # A damaged place, which decoders conceal in different ways, must not end in a mixture.
        self._set_manifest({**self._identify(), "decoder": self._source.info.hwaccel})
        found = find_resume_point(self.work_dir, self._config, self.manifest.identity, self._notify)
        if found is not None:
            self.manifest, self.state, self._is_stale = found.manifest, found.state, False
            self.frames_reused = self.manifest.frames
            self._source.restore_damage(self.manifest.damage)

    def _set_manifest(self, identity: Mapping[str, Any]) -> None:
        info = self._source.info
        self.manifest = Manifest(dict(identity), time_base=info.time_base, seconds=info.duration_seconds)
        self.state, self.frames_reused, self._is_stale = None, 0, True

    def _check_space(self) -> None:
        jobs = [] if self.is_complete or self.manifest.split is None else job_manifests(self.work_dir.path)
        finished = [segment for manifest in (self.manifest, *jobs) for segment in manifest.segments]
        freed = used_bytes(self.work_dir.path) if self._is_stale else 0
        info, source_bytes = self._source.info, self._check.bytes
        check_space(self.work_dir.path, finished, self._plan, info, source_bytes, self._notify, freed_bytes=freed)

    def _finish_segment(self, writer: SegmentWriter, digest: str, boundary: SegmentBoundary) -> None:
        """Close the segment, and record it in the manifest with the state to resume from."""
        self.check_input()
        manifest = self.manifest
        segment = writer.finish(digest)
        if manifest.segments and segment.header != manifest.segments[0].header:
            raise EncodeError(self._plan.target, f"{self._plan.encoder.name} writes different headers for its segments")
        state = self.work_dir.write_state(boundary.next_index, boundary.state)
        record_engine(manifest, boundary.engine)
        manifest.segments.append(replace(segment, state=state))
        manifest.damage = [place.as_json() for place in self._source.damage]
        manifest.write(self.work_dir.path)
        # The newest two states are kept, as the disk may lose the last segment.
        self.work_dir.remove_state(manifest.frames - sum(len(each.pts) for each in manifest.segments[-2:]))

    def _leave(self, error: BaseException | None) -> None:
        if self._segment is not None:
            self._segment.abandon()
        if self._is_released:
            return
        if self._is_job:
            self.work_dir.close(is_kept=True)
            return
        text = ""
        if error is not None:
            text = partial_output_text(self.work_dir.path, self.manifest, is_fresh=self._config.fresh)
        is_older_kept = error is not None and self._is_stale and self.work_dir.has_manifest
        self.work_dir.close(is_kept=bool(text) or is_older_kept)
        if error is not None and text:
            error.add_note(text)
