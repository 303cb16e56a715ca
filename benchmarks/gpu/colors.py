"""Decoded samples to RGB."""

import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from benchmarks.gpu.rows import Settings, width_for
from benchmarks.gpu.scenes import frames
from benchmarks.gpu.timing import median_ms, wall_ms
from models.engines.gpu.transfers import transfers_of
from models.pixels.yuv import converter, rgb_of_packed
from pipeline.media.pixels.colorspace import to_8_bit_rgb


def colors(settings: Settings) -> str:
    """Return the time of 4:2:0 samples to RGB: on the device, with their copy, and of swscale on the CPU."""
    height, width = settings.stage_height, width_for(settings.stage_height)
    device, count = torch.device(settings.device), min(settings.count, 30)
    packed = torch.from_numpy(frames(height)[0].reshape(-1)[: height * width * 3 // 2].copy())
    convert, there = converter(1, "left", full_range=False), packed.to(device)
    with torch.inference_mode():
        alone = median_ms(
            lambda: rgb_of_packed(there, height, width, convert, is_interleaved=True), device, count=count
        )
        whole = wall_ms(
            lambda: rgb_of_packed(_uploaded(packed, device), height, width, convert, is_interleaved=True),
            device,
            count=count,
        )
    frame = VideoFrame.from_ndarray(packed.numpy().reshape(-1, width), format="nv12")
    reformatter = VideoReformatter()
    software = wall_ms(lambda: to_8_bit_rgb(frame, reformatter), torch.device("cpu"), count=count)
    return f"{alone:.2f} ms on the device, {whole:.2f} ms from main memory, {software:.2f} ms by swscale on the CPU"


def _uploaded(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    transfers = transfers_of(device)
    return pixels.to(device) if transfers is None else transfers.upload(pixels)
