"""A video in, a painted video out: decode -> stylize -> encode, each in a thread of its own."""

import time
from functools import partial

from pipeline.config import VideoConfig
from pipeline.decode.mask import open_mask
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.progress import Meter, ProgressCallback
from pipeline.resume.manifest import is_placed
from pipeline.resume.resumable import Finished, is_resumable, open_render
from pipeline.stylize.memory_budget import queue_depth
from pipeline.stylize.style import find_style, last_frame_seconds
from pipeline.stylize.stylizer import MakeStylizer, Stylizer, stylized_width_px
from pipeline.summary import Notices, Notify, Summary, summarize
from pipeline.threads import prefetch


def stylize_video(
    config: VideoConfig,
    *,
    progress: ProgressCallback = lambda state: None,
    notify: Notify = lambda line: None,
    make: MakeStylizer = Stylizer,
    finished: Finished = lambda: None,
) -> Summary:
    """Paint the video ``config.source`` into ``config.target``.

    Whatever cannot work is found out before the network is loaded; what a failure leaves is gone on with another time.

    Args:
        config: what, how and where.
        progress: called for each painted frame, in the calling thread.
        notify: called with each thing that the user should know, one line.
        make: makes the stylizer, called as `Stylizer`.
        finished: called when the target, which appears whole or not at all, is in its place.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: a codec, quality or preset that does not exist.
    """
    begun, notices, style, part = time.perf_counter(), Notices(notify), config.stylize, config.decode
    card = find_style(style.style, style.style_end)
    with (
        open_source(config.source, part, reads_along=not is_resumable(config), keep_alpha_and_depth=True) as source,
        open_mask(config.mask, source.info, part) as mask,
    ):
        info, depth = source.info, queue_depth(config.depth, source.info)
        last = last_frame_seconds(info) if style.style_end else None
        of_clip = {
            "height": info.height,
            "width": info.width,
            "is_16_bit": info.is_16_bit,
            "last_seconds": last,
            "mask": mask,
        }
        size = stylized_width_px(info.width, style.compare), info.height
        plan = plan_output(source, config.target, config.encode, size=size, may_replace=is_placed(config.target))
        notices.say(plan.notices)
        with open_render(config, plan, source, card.tag if config.tag else {}, notices) as render:
            stylizer = render.load(style, partial(make, **of_clip, notify=notices))
            with (
                prefetch(render.decoded(), depth=depth, name="decode", stop=render.stop) as decoded,
                prefetch(
                    stylizer(decoded, render.state),
                    depth=depth,
                    name="stylize",
                    stop=render.stop,
                    meanwhile=render.side_work,
                ) as stylized,
            ):
                meter = Meter(decoded, stylized, total=info.frame_count, reused=render.frames_reused, report=progress)
                written = render.encode(meter.watch(stylized))
            finished()
        return summarize(written, meter, stylizer, notices, source.damage, streams=plan.streams, begun=begun)
