"""A video in, a painted video out: decode -> stylize -> encode, each in a thread of its own."""

import time
from functools import partial

from pipeline.config import VideoConfig
from pipeline.damage import damage_notice
from pipeline.decode import decode
from pipeline.look import find_style, last_frame_seconds
from pipeline.mask import open_mask
from pipeline.memory import waiting_frames
from pipeline.meter import Meter, ProgressCallback
from pipeline.plan import plan_output
from pipeline.render import is_resumable, open_render
from pipeline.source import open_source
from pipeline.stream import prefetch
from pipeline.stylize import Stylizer, output_size
from pipeline.summary import Notices, Notify, Summary, summarize


def stylize_video(
    config: VideoConfig, *, progress: ProgressCallback = lambda state: None, notify: Notify = lambda line: None
) -> Summary:
    """Paint the video ``config.source`` into ``config.target``.

    Whatever cannot work is found out before the network is loaded. The target appears when all of it is written; what a
    failure or an interruption leaves lies beside it, and is gone on with when the same is asked for again.

    Args:
        config: what, how and where.
        progress: called for each painted frame, in the calling thread.
        notify: called with each thing that the user should know, one line.

    Raises:
        PipelineError: one of its kinds, see `pipeline.errors`.
        ValueError: a codec, quality or preset that does not exist.
    """
    begun, in_one_pass = time.perf_counter(), not is_resumable(config)
    notices, card, part = Notices(notify), find_style(config.stylize.style, config.stylize.style_end), config.decode
    with (
        open_source(config.source, part, reads_along=in_one_pass, whole=True) as source,
        open_mask(config.mask, source.info, part) as mask,
    ):
        info, depth = source.info, waiting_frames(config.depth, source.info)
        last = last_frame_seconds(info) if config.stylize.style_end else None
        size = output_size(config.stylize.compare, info.width, info.height)
        plan = plan_output(source, config.target, config.encode, size=size)
        for notice in plan.notices:
            notices(notice)
        make = partial(Stylizer, height=info.height, width=info.width, deep=info.deep, mask=mask, notify=notices)
        make = partial(make, last_seconds=last)
        with open_render(config, plan, source, notices) as render:
            stylizer = render.load(config.stylize, make)
            with (
                prefetch(render.decoded(decode), depth=depth, name="decode", stop=source.stop) as decoded,
                prefetch(stylizer(decoded, render.state), depth=depth, name="stylize", stop=source.stop) as painted,
            ):
                meter = Meter(decoded, painted, total=info.frame_count, reused=render.frames_reused, report=progress)
                tag = {"comment": f"painted by flowbrush in the style {card.name}"} if config.tag else {}
                written = render.encode(meter.watch(painted), tag)
        for notice in damage_notice(source.damage):
            notices(notice)
        seconds = time.perf_counter() - begun
        return summarize(written, meter, stylizer, notices, source.damage, streams=plan.streams, seconds=seconds)
