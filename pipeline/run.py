"""Stylize one clip: decode -> stylize -> encode. Start reading here."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pipeline.config import StylizeConfig, VideoConfig, gpu_number
from pipeline.decode.masks.frame_mask import FrameMask
from pipeline.decode.masks.mask import open_mask
from pipeline.decode.source import Source, open_source
from pipeline.encode.device_format import device_format
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.encode.sequence import SequencePlan, plan_sequence
from pipeline.encode.writer import Writer
from pipeline.errors import OutputError
from pipeline.frames import Frame, State
from pipeline.media.image_sequence import find_sequence, is_sequence
from pipeline.media.pixels.encoder_samples import EncoderFormat
from pipeline.notices import Notices, Notify
from pipeline.progress import ProgressCallback, ProgressMeter
from pipeline.resume.resumable import is_resumable, open_render
from pipeline.resume.work_folder.manifest import is_placed
from pipeline.resume.work_folder.work_dir import clear_remains
from pipeline.stylize.engine.memory_budget import queue_depth
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.style import last_frame_seconds, style_of
from pipeline.stylize.stylizer import MakeStylizer, StylizeStage, stylized_width_px
from pipeline.summary import Summary, summarize
from pipeline.threads import prefetch
from pipeline.tracking.track import ReportTracking, track_mask, with_tracked_mask
from pipeline.train.refine import ReportRefinement, refine_picture


def stylize_video(
    config: VideoConfig,
    *,
    progress: ProgressCallback = lambda progress: None,
    notify: Notify = lambda line: None,
    refining: ReportRefinement = lambda report: None,
    tracking: ReportTracking = lambda frames, total: None,
    make: MakeStylizer = make_stylizer,
    finished: Callable[[], None] = lambda: None,
) -> Summary:
    """Stylize the video ``config.source`` into ``config.target``.

    Validates everything before loading the network. An interrupted render is resumed by the next call.

    Args:
        config: what, how and where.
        progress: called after each stylized frame, in the calling thread.
        notify: called with each notice, one line.
        refining: called after each step of a refinement, see `pipeline.train.refine`.
        tracking: called after each frame whose mask was tracked, see `pipeline.tracking.track`.
        make: creates the stylizer; has the signature of `Stylizer`.
        finished: called when the target is in place; it appears complete or not at all.

    Raises:
        PipelineError: see its subclasses in `pipeline.errors`.
        ValueError: the codec, quality or preset does not exist.
    """
    started, notices = time.perf_counter(), Notices(notify)
    style = style_of(config.stylize)
    tag = style.tag if config.tag else {}
    side_packets = not is_resumable(config) and not is_sequence(config.target)
    with open_source(config.source, config.decode, with_side_packets=side_packets, keep_alpha_and_depth=True) as source:
        plan = plan_output_of(config, source)
        notices.extend(plan.notices)
        with open_render(config, plan, source, tag, notices) as render:
            meter = ProgressMeter(source.info.frame_count, reused=render.frames_reused, report=progress)
            if not render.is_complete:
                track = partial(track_mask, config, source, report=tracking, notify=notices)
                ready = with_tracked_mask(config, render.tracked_mask, track)
                with open_mask(ready, source.info) as mask:
                    on_gpu = device_format(plan, source.info)
                    load = partial(
                        load_stylizer, source=source, mask=mask, make=make, notify=notices, encoder_format=on_gpu
                    )
                    stylizer = render.load(load, partial(refine_picture, config, report=refining, notify=notices))
                    depth = queue_depth(config.depth, source.info)
                    render_frames(
                        render.frames(),
                        stylizer,
                        render.open_writer(),
                        state=render.state,
                        depth=depth,
                        meter=meter,
                        stop=render.stop,
                    )
            written = render.finish()
            finished()
        return summarize(
            written,
            meter,
            notices,
            source.damage,
            style=style.name,
            engine=render.engine,
            streams=[stream.entry for stream in plan.streams],
            started=started,
        )


def plan_output_of(config: VideoConfig, source: Source) -> OutputPlan | SequencePlan:
    """Plan the output of a clip, which may be an image sequence; see `plan_clip` and `plan_sequence`."""
    sequence = find_sequence(config.target)
    if sequence is None:
        return plan_clip(config, source)
    size = stylized_width_px(source.info.width, config.stylize.compare), source.info.height
    return plan_sequence(source, sequence, config.encode, size=size, start_number=config.decode.start_number)


def plan_clip(config: VideoConfig, source: Source) -> OutputPlan:
    """Plan the output of a clip; see `plan_output`."""
    size = stylized_width_px(source.info.width, config.stylize.compare), source.info.height
    may_replace = not config.fresh and is_placed(config.target)
    gpu = gpu_number(config.stylize.device)
    try:
        return plan_output(source, config.target, config.encode, size=size, may_replace=may_replace, gpu=gpu)
    except OutputError:
        clear_remains(config.target)  # if the output exists already, no later step does it
        raise


def load_stylizer(
    config: StylizeConfig,
    *,
    source: Source,
    mask: FrameMask | None,
    make: MakeStylizer,
    notify: Notify,
    may_change: bool = False,
    encoder_format: EncoderFormat | None = None,
) -> StylizeStage:
    """Load a stylizer for the frames of ``source``.

    Args:
        config: the style, the device and the engine.
        source: the opened input.
        mask: limits where to stylize; None to stylize whole frames.
        make: creates the stylizer; has the signature of `Stylizer`.
        notify: called with each notice, one line.
        may_change: whether another engine may take over within the clip.
        encoder_format: what a GPU may make of stylized frames; None for RGB.
    """
    info = source.info
    last_seconds = last_frame_seconds(info) if config.style_end else None
    size = {"height": info.height, "width": info.width, "is_16_bit": info.is_16_bit}
    frame_count = info.frame_count or None
    clip: dict[str, Any] = {"last_seconds": last_seconds, "mask": mask, "frame_count": frame_count}
    clip |= {"may_change": may_change} | ({} if encoder_format is None else {"encoder_format": encoder_format})
    return make(config, **size, **clip, notify=notify)


def render_frames(
    frames: Iterable[Frame],
    stylizer: StylizeStage,
    writer: Writer,
    *,
    depth: int,
    state: State | None = None,
    meter: ProgressMeter | None = None,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Decode, stylize and write ``frames``. Decoding and stylizing run in threads, writing in the calling one.

    This is the only place where the stages are joined: for a whole clip, and for a segment job on a worker.

    Args:
        frames: yields decoded frames; iterated in the thread of the decode stage.
        stylizer: the stylize stage.
        writer: the encode stage.
        depth: number of frames that may wait before each stage.
        state: temporal state of the stylizer after the previous frame; None at the start of a clip.
        meter: measures the progress.
        stop: unblocks ``frames`` if it waits for input; called before the threads are joined.
    """
    meter = meter or ProgressMeter()
    with (
        prefetch(frames, depth=depth, name="decode", stop=stop) as decoded,
        prefetch(stylizer(decoded, state), depth=depth, name="stylize", stop=stop, meanwhile=writer) as stylized,
    ):
        for frame in meter.watch(decoded, stylized):
            writer.write(frame)
