"""Samples become the RGB that swscale makes of them, within one level; on any device."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from models.pixels.yuv import Siting, Yuv420ToRgb, converter, rgb_of_packed
from pipeline.media.pixels.colorspace import to_8_bit_rgb
from tests.support.media import Clip, make_clip

Samples = tuple[NDArray[np.uint8], NDArray[np.uint8]]
BT601, BT709, BT2020 = 5, 1, 9


def samples(height: int, width: int, *, full_range: bool) -> Samples:
    """Noise over all that the range allows: luma ``(H, W)`` and chroma ``(2, ceil(H / 2), ceil(W / 2))``."""
    draw = np.random.default_rng(height * width)
    low, bright, colored = (0, 256, 256) if full_range else (16, 236, 241)
    luma = draw.integers(low, bright, (height, width), np.uint8)
    return luma, draw.integers(low, colored, (2, -(-height // 2), -(-width // 2)), np.uint8)


def by_swscale(
    luma: NDArray[np.uint8], chroma: NDArray[np.uint8], matrix: int, *, full_range: bool
) -> NDArray[np.int_]:
    """As the decode stage converts it; a frame made here says nothing of its chroma, which swscale then centers."""
    frame = VideoFrame(luma.shape[1], luma.shape[0], "yuv420p")
    for plane, values in zip(frame.planes, (luma, *chroma), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
    return to_8_bit_rgb(frame, VideoReformatter()).astype(int)


def by_tensors(sampled: Samples, matrix: int, *, full_range: bool, siting: Siting = "center") -> NDArray[np.int_]:
    convert = Yuv420ToRgb(matrix, full_range=full_range, siting=siting)
    return convert(*map(torch.from_numpy, sampled)).numpy().astype(int)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("size", [(48, 64), (98, 162), (97, 161), (33, 65), (64, 37), (8, 8), (9, 9)])
def test_noise_becomes_the_rgb_of_swscale(size: tuple[int, int], matrix: int, full_range: bool) -> None:
    sampled = samples(*size, full_range=full_range)
    expected = by_swscale(*sampled, matrix, full_range=full_range)
    difference = np.abs(by_tensors(sampled, matrix, full_range=full_range) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.06


def test_a_decoder_says_where_chroma_lies(tmp_path: Path) -> None:
    """H.264 has it on the left, and swscale knows from the decoded frame, of which PyAV does not tell."""
    with av.open(str(make_clip(tmp_path / "in.mkv", Clip(height=48, width=64)))) as container:
        frame = next(container.decode(video=0))
    planes = [np.asarray(memoryview(plane)).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
    sampled = planes[0].copy(), np.stack(planes[1:])
    expected = to_8_bit_rgb(frame, VideoReformatter()).astype(int)
    sitings: tuple[Siting, ...] = ("left", "center")
    left, center = (np.abs(by_tensors(sampled, 6, full_range=False, siting=each) - expected).max() for each in sitings)
    assert left <= 1
    assert center > 4


def test_black_and_white_are_exact() -> None:
    grey = torch.full((2, 4, 4), 128, dtype=torch.uint8)
    for level, expected in ((16, 0), (235, 255), (0, 0), (255, 255)):
        luma = torch.full((8, 8), level, dtype=torch.uint8)
        rgb = Yuv420ToRgb(BT709, full_range=False, siting="left")(luma, grey)
        assert rgb.shape == (8, 8, 3)
        assert rgb.unique().tolist() == [expected]


@pytest.mark.parametrize("is_interleaved", [False, True])
def test_packed_samples_are_those_of_planes(is_interleaved: bool) -> None:
    luma, chroma = map(torch.from_numpy, samples(48, 64, full_range=False))
    convert = converter(BT709, "left", full_range=False)
    packed = torch.cat((luma.flatten(), (chroma.permute(1, 2, 0) if is_interleaved else chroma).flatten()))
    found = rgb_of_packed(packed, 48, 64, convert, is_interleaved=is_interleaved)
    assert torch.equal(found, convert(luma, chroma))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("siting", ["left", "center"])
def test_a_gpu_makes_the_rgb_of_the_cpu(siting: Siting) -> None:
    sampled = [torch.from_numpy(each) for each in samples(97, 161, full_range=False)]
    convert = Yuv420ToRgb(BT709, full_range=False, siting=siting)
    found, expected = convert(*(each.cuda() for each in sampled)).cpu(), convert(*sampled)
    assert (found.int() - expected.int()).abs().max() <= 1
