"""Decoded samples to RGB, and RGB to the samples of an encoder."""

import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from benchmarks.gpu.rows import Settings, width_for
from benchmarks.gpu.scenes import frames
from benchmarks.gpu.timing import median_ms, wall_ms
from models.engines.gpu.transfers import transfers_of
from models.pixels.yuv import converter, rgb_of_packed
from models.pixels.yuv_output import SampleFormat, encoder_samples
from pipeline.media.pixels.colorspace import EXACT, to_8_bit_rgb


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


def to_samples(settings: Settings) -> str:
    """Return the time of RGB to 4:2:0 samples: on the device, with their copy to main memory, and of swscale there."""
    height, device = settings.stage_height, torch.device(settings.device)
    count, rgb = min(settings.count, 30), torch.from_numpy(frames(height)[0].copy())
    convert, there = encoder_samples(SampleFormat(1)), rgb.to(device)
    with torch.inference_mode():
        alone = median_ms(lambda: convert.packed(there), device, count=count)
        whole = wall_ms(lambda: _downloaded(convert.packed(there), device), device, count=count)
    frame, reformatter = VideoFrame.from_ndarray(rgb.numpy(), format="rgb24"), VideoReformatter()
    settings_of_swscale = {"format": "yuv420p", "dst_colorspace": 1, "src_color_range": 2, "dst_color_range": 1}
    software = wall_ms(
        lambda: reformatter.reformat(frame, interpolation=EXACT, threads=1, **settings_of_swscale),
        torch.device("cpu"),
        count=count,
    )
    return f"{alone:.2f} ms on the device, {whole:.2f} ms to main memory, {software:.2f} ms by swscale on the CPU"


def _downloaded(samples: torch.Tensor, device: torch.device) -> torch.Tensor:
    transfers = transfers_of(device)
    return samples.cpu() if transfers is None else transfers.download(samples).wait()


def _uploaded(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    transfers = transfers_of(device)
    return pixels.to(device) if transfers is None else transfers.upload(pixels)
