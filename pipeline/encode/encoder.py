"""Encoding of the main video: RGB frames in, packets with exact times out."""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.encode.gif_palette import GifPalette
from pipeline.encode.long_steps import longest_step
from pipeline.encode.output_plan import OutputPlan
from pipeline.frames import Frame, Pixels, in_8_bits
from pipeline.media.packets import VideoPacket
from pipeline.media.pixels.alpha import composite, has_alpha
from pipeline.media.pixels.bit_depth import RgbToHighDepth, bit_depth
from pipeline.media.pixels.colorspace import EXACT, swscale_matrix
from pipeline.media.pixels.encoder_samples import EncoderFormat, EncoderSamples
from pipeline.system.priority import unchanged_priority


def add_video_stream(container: OutputContainer, plan: OutputPlan) -> VideoStream:
    """Add the video stream of ``plan`` to ``container``, and open its encoder."""
    # SVT-AV1 logs to the terminal, not to FFmpeg's log; it reads this when it is first opened.
    os.environ.setdefault("SVT_LOG", "0")
    # FFV1 divides frames into slices, and does not find a division of a single column by itself.
    slices = {"slices": "1"} if plan.encoder.codec == "ffv1" and plan.width == 1 else {}
    gpu = {} if plan.gpu is None or not plan.encoder.is_hardware else {"gpu": str(plan.gpu)}
    options = {**plan.options, **slices, **gpu}
    stream = cast(VideoStream, container.add_stream(plan.encoder.name, rate=plan.rate, options=options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pixel_format
    stream.time_base = context.time_base = plan.time_base
    context.sample_aspect_ratio = plan.sample_aspect_ratio
    context.thread_count = plan.threads
    context.thread_type = av.codec.context.ThreadType.AUTO  # slice threads only, the default, cost x264 quality
    if plan.pixel_format != "pal8":
        context.colorspace, context.color_range = plan.color.matrix, 2 if plan.color.full_range else 1
        context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
    with unchanged_priority():
        context.open()
    return stream


class VideoEncoder:
    """Encodes frames into packets of a stream of `add_video_stream`, with exact pts; one instance per thread.

    Args:
        stream: of the output; its container's header is written before the first frame.
        plan: of the output.
        limits_steps: whether the container limits how long a frame is shown. A longer pause becomes shorter in an
            animation; in an mp4 or mov, where other streams must stay in step, the frame is repeated.

    Attributes:
        repeated_frames: number of frames that repeat the one before.
    """

    def __init__(self, stream: VideoStream, plan: OutputPlan, *, limits_steps: bool = False) -> None:
        self.repeated_frames = 0
        self._stream = stream
        self._plan = plan
        self._limits_steps = limits_steps
        self._cut = 0  # by how much earlier all that follows is shown
        self._shortened = 0
        self._is_last_too_long = False
        self._last_frame: VideoFrame | None = None
        self._reformatter = VideoReformatter()
        self._palette = GifPalette(plan.width, plan.height, plan.time_base) if plan.pixel_format == "pal8" else None
        self._format = EncoderFormat(plan.pixel_format, plan.color)
        self._has_alpha = has_alpha(plan.pixel_format)
        is_high_depth = bit_depth(plan.pixel_format) > 8
        self._to_high_depth = RgbToHighDepth(plan.pixel_format, plan.color) if is_high_depth else None
        self._durations: dict[int, int] = {}
        self._last_pts: int | None = None
        self._frame_count = 0

    def packets(self, frame: Frame) -> Iterator[VideoPacket]:
        """Encode ``frame``; yield the packets that are ready.

        Raises:
            ValueError: the frame does not have the planned size.
        """
        image = frame.image
        height, width = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
        if (width, height) != (self._plan.width, self._plan.height):
            raise ValueError(f"frame is {width}x{height}, planned were {self._plan.width}x{self._plan.height}")
        self._frame_count += 1
        longest, last_pts, pts = self._longest_ticks, self._last_pts, self._pts(frame)
        if longest is not None and last_pts is not None and pts - last_pts > longest:
            if self._plan.container.is_animation:
                self._cut += pts - last_pts - longest
                self._shortened += 1
                pts = last_pts + longest
            else:
                yield from self._repeat_until(pts, last_pts, longest)
        self._last_pts = pts
        if isinstance(image, EncoderSamples) and image.format == self._format:
            video_frame = image.video_frame()
        else:
            video_frame = self._video_frame(frame.pixels, frame.alpha)
        video_frame.pts, video_frame.time_base = pts, self._plan.time_base
        video_frame.color_primaries, video_frame.color_trc = self._plan.color.primaries, self._plan.color.transfer
        if frame.duration is not None:
            duration = round(frame.duration * frame.time_base / self._plan.time_base)
            self._is_last_too_long = longest is not None and duration > longest
            video_frame.duration = duration if longest is None else min(duration, longest)
            self._durations[video_frame.pts] = video_frame.duration
        if longest is not None and not self._plan.container.is_animation:
            self._last_frame = video_frame
        yield from self._encoded((video_frame,) if self._palette is None else self._palette(video_frame))

    def flush(self) -> Iterator[VideoPacket]:
        """Yield the packets that are still buffered."""
        if self._palette is not None:
            yield from self._encoded(self._palette(None))
        for packet in self._encoded((None,)):
            if self._plan.encoder.name == "libx265" and self._frame_count <= 2:
                # x265 learns from the third frame how far dts precede pts; before, it reads uninitialized memory.
                # So few frames are not reordered.
                packet.dts = packet.pts
            yield packet

    def notices(self) -> list[str]:
        """Return how frames differ that are shown longer than the container can store, one line each."""
        tick, suffix, longest = self._plan.time_base, self._plan.container.suffix, self._longest_ticks or 0
        limit = f"{suffix} files store {float(longest * tick):.0f} s at most"
        count = self._shortened + self._is_last_too_long
        lines = [f"frames are shown shorter than in the input ({count}): {limit}"] if count else []
        if self.repeated_frames:
            lines.append(f"frames are repeated to be shown as long as in the input ({self.repeated_frames}): {limit}")
        return lines

    @cached_property
    def _longest_ticks(self) -> int | None:
        """Return the longest time from one frame to the next, in ticks of the plan; None for no limit."""
        tick = self._stream.time_base or self._plan.time_base
        longest = longest_step(self._plan.container, tick) if self._limits_steps else None
        return None if longest is None else int(longest / self._plan.time_base)

    def _repeat_until(self, pts: int, last_pts: int, longest: int) -> Iterator[VideoPacket]:
        """Encode the frame before again and again, so that no step up to ``pts`` is too long."""
        frame = self._last_frame
        if frame is None:
            return
        for time in range(last_pts + longest, pts, longest):
            self.repeated_frames += 1
            frame.pts, frame.duration = time, min(longest, pts - time)
            self._durations[time] = frame.duration
            yield from self._encoded((frame,))

    def _pts(self, frame: Frame) -> int:
        """Return the frame's pts; on a container's coarser clock, the nearest that is free."""
        pts = round(frame.pts * frame.time_base / self._plan.time_base) - self._cut
        return pts if self._last_pts is None else max(pts, self._last_pts + 1)

    def _video_frame(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        """Return a frame in the encoder's pixel format; in RGB if it goes through a palette."""
        if alpha is not None and not self._has_alpha:
            pixels, alpha = composite(pixels, alpha, self._plan.background), None
        if self._to_high_depth is not None and pixels.dtype == np.uint16:
            return self._to_high_depth(pixels, alpha)
        pixels = in_8_bits(pixels)
        if alpha is not None:
            pixels = np.dstack((pixels, in_8_bits(alpha)))
        rgb = VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels, np.uint8), format="rgb24" if alpha is None else "rgba"
        )
        return rgb if self._palette is not None else self._converted(rgb)

    def _converted(self, rgb: VideoFrame) -> VideoFrame:
        color = self._plan.color
        return self._reformatter.reformat(
            rgb,
            format=self._plan.pixel_format,
            src_color_range=2,
            dst_colorspace=swscale_matrix(color.matrix),
            dst_color_range=2 if color.full_range else 1,
            interpolation=EXACT,
            threads=1,
        )

    def _encoded(self, frames: Iterable[VideoFrame | None]) -> Iterator[VideoPacket]:
        for frame in frames:
            for packet in self._stream.encode(frame):
                if packet.pts in self._durations:
                    packet.duration = self._durations.pop(packet.pts)
                yield packet
