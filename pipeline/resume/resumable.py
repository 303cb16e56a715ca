"""How a clip is rendered: resumably, in segments beside the output, or in a single pass if a pipe is involved."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config import StylizeConfig, VideoConfig
from pipeline.config.mask_spec import parse_mask
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source
from pipeline.encode.errors import encode_errors
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.sequence import SequencePlan, SequenceWriter
from pipeline.encode.writer import EncodeReport, FileWriter, Writer
from pipeline.frames import Frame, State
from pipeline.media.image_sequence import is_sequence
from pipeline.media.packets import SidePackets
from pipeline.notices import Notify
from pipeline.resume.concat import concat
from pipeline.resume.engine import engine_of, load_with_engine
from pipeline.resume.fingerprint import identify
from pipeline.resume.refined import Refine, pictures_of, with_styles
from pipeline.resume.segments import mark_segments
from pipeline.resume.store import SegmentStore
from pipeline.resume.work_folder.work_dir import WorkDir
from pipeline.stylize.stylizer import StylizeStage
from pipeline.system.files.atomic import remove, replace_atomically, reserve, write_atomically
from pipeline.system.files.reading import file_signature
from pipeline.system.folders import scratch_folder

LoadStylizer = Callable[[StylizeConfig], StylizeStage]


def is_resumable(config: VideoConfig) -> bool:
    """Return whether a later run can resume: if all inputs are files or image sequences, and the output is a file."""
    has_mask_file = config.mask is not None and parse_mask(config.mask) is None
    inputs = [config.source, *([config.mask] if config.mask and has_mask_file else [])]
    is_file = config.target != "-" and not is_sequence(config.target)
    return config.in_segments and is_file and all(os.path.isfile(path) or is_sequence(path) for path in inputs)


@contextmanager
def open_render(
    config: VideoConfig, plan: OutputPlan | SequencePlan, source: Source, tag: Mapping[str, str], notify: Notify
) -> "Iterator[SinglePass | ResumableRender]":
    """Context with the render that makes the output of ``plan`` from ``source``.

    Args:
        config: of the whole run.
        plan: of the output.
        source: the opened input.
        tag: metadata in addition to the plan's.
        notify: called with each notice, one line.

    Raises:
        OutputError: another run is writing the same output, or there is too little disk space.
        InputError: the input cannot be read.
    """
    if isinstance(plan, OutputPlan) and is_resumable(config):
        with SegmentStore(config, plan, source, partial(identify, config, plan), notify) as store:
            yield ResumableRender(config, plan, source, tag, store)
    else:
        with ExitStack() as stack:
            yield SinglePass(config, plan, source, tag, stack)


class SinglePass:
    """A render in one pass; an interruption leaves nothing. See `ResumableRender` for the attributes."""

    def __init__(
        self,
        config: VideoConfig,
        plan: OutputPlan | SequencePlan,
        source: Source,
        tag: Mapping[str, str],
        stack: ExitStack,
    ) -> None:
        self.is_complete = False
        self.frames_reused = 0
        self.state: State | None = None
        self.engine: Mapping[str, Any] = {}
        self._config = config
        self._source = source
        self._side_packets = SidePackets()
        self._plan = plan
        self._tag = tag
        self._stack = stack
        self._writer: FileWriter | SequenceWriter | None = None

    def load(self, load: LoadStylizer, refine: Refine) -> StylizeStage:
        """Load the stylizer; with refined styles of pictures, if the config asks for them."""
        stylize = self._config.stylize
        if self._config.refine.seconds:
            folder = self._stack.enter_context(scratch_folder())
            files = {name: str(folder / f"style{n}.safetensors") for n, name in enumerate(pictures_of(stylize))}
            for picture, file in files.items():
                content = refine(Path(picture), folder / "refine.png")
                with encode_errors(self._plan.target):
                    write_atomically(file, content)
            stylize = with_styles(stylize, files)
        stylizer = load(stylize)
        self.engine = engine_of(stylizer)
        return stylizer

    def tracked_mask(self, track: Callable[[str], None]) -> str:
        """Return the path of the tracked mask, which ``track`` writes."""
        with encode_errors(self._plan.target):
            path = reserve(str(self._stack.enter_context(scratch_folder()) / "mask.npz"))
        self._stack.callback(remove, path)
        track(path)
        return path

    def frames(self) -> Iterator[Frame]:
        """Return all frames of the clip; packets between them go to the writer directly."""
        return decode(self._source, self._side_packets)

    def open_writer(self) -> Writer:
        """Create the output, and return what writes to it."""
        writer = self._make_writer()
        self._stack.enter_context(writer)
        self._writer = writer
        return writer

    def _make_writer(self) -> FileWriter | SequenceWriter:
        if isinstance(self._plan, OutputPlan):
            return FileWriter(self._plan, tag=self._tag, side_packets=self._side_packets)
        work_dir = WorkDir(self._plan.target)
        self._stack.callback(work_dir.close, is_kept=False)
        work_dir.clear()  # what a killed run has left
        return SequenceWriter(self._plan, work_dir.path, tag=self._tag)

    def stop(self) -> None:
        """Let `frames`, in another thread, end now."""
        self._source.stop()
        self._side_packets.close()

    def finish(self) -> EncodeReport:
        """Finish the output, and put it in place."""
        if self._writer is None:
            raise ValueError("nothing was written")
        return self._writer.finish()


class ResumableRender:
    """A render in segments; an interruption leaves those that are finished.

    Attributes:
        is_complete: True if earlier runs finished all segments, and only `finish` remains.
        frames_reused: number of frames that earlier runs finished.
        state: what the stylizer remembers after these frames; None at the start of the clip.
        engine: what the frames are stylized with, see `pipeline.resume.engine`.
    """

    def __init__(
        self, config: VideoConfig, plan: OutputPlan, source: Source, tag: Mapping[str, str], store: SegmentStore
    ) -> None:
        self._config = config
        self._plan = plan
        self._source = source
        self._tag = tag
        self._store = store
        self.is_complete = store.is_complete or store.is_placed
        frames = None if self.is_complete else store.frames_to_resume()
        self._frames = decode(source) if frames is None else frames
        self.frames_reused = store.frames_reused
        self.state = store.state

    @property
    def engine(self) -> Mapping[str, Any]:
        """What the frames are stylized with."""
        manifest = self._store.manifest
        return manifest.engine_at(manifest.frames - 1)

    def load(self, load: LoadStylizer, refine: Refine) -> StylizeStage:
        """Load the stylizer with the engine and the refined styles of the finished frames.

        Raises:
            DeviceError: that engine is not available.
        """
        stylize = self._store.refined(refine) if self._config.refine.seconds else self._config.stylize
        return load_with_engine(self._store.manifest, stylize, load, may_change=True)

    def tracked_mask(self, track: Callable[[str], None]) -> str:
        """Return the path of the tracked mask; see `SegmentStore.tracked_mask`."""
        return self._store.tracked_mask(track)

    def frames(self) -> Iterator[Frame]:
        """Return the frames that are not finished, with a `SegmentBoundary` at the end of each segment."""
        config = self._config
        seconds, length = config.segment_seconds, config.segment_frames
        return mark_segments(self._frames, self.frames_reused, seconds=seconds, length=length)

    def open_writer(self) -> Writer:
        """Return what writes segments."""
        return self._store

    def stop(self) -> None:
        """Do nothing: reading a file ends by itself."""

    def finish(self) -> EncodeReport:
        """Concatenate the segments, and put the output in place; see `finish_output`."""
        return finish_output(self._store, self._plan, self._source, self._tag)


def finish_output(store: SegmentStore, plan: OutputPlan, source: Source, tag: Mapping[str, str]) -> EncodeReport:
    """Concatenate the segments, which cover the whole clip, and the other streams, unless the output is in place.

    Args:
        store: of the whole clip.
        plan: of the output.
        source: the opened input.
        tag: metadata in addition to the plan's.

    Raises:
        EncodeError: the container rejects a packet, or the disk is full.
        InputError: the input was changed or removed meanwhile.
    """
    if store.is_placed:
        return EncodeReport(plan.target, store.manifest.frames, 0)
    store.complete()
    with encode_errors(plan.target):
        temporary = reserve(store.work_dir.file("output.part"))
    try:
        side_packets = source.packets({stream.stream.index for stream in plan.carried})
        report = concat(temporary, store.work_dir.path, store.manifest, plan, side_packets, tag)
        store.check_input()
        store.manifest.output_signature = file_signature(temporary)
        store.write_manifest()
        with encode_errors(plan.target):
            replace_atomically(temporary, plan.path, may_replace=plan.replaces)
    except BaseException:
        remove(temporary)
        raise
    return report
