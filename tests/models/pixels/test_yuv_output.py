"""RGB becomes the samples that swscale makes of it, within one level; on any device."""

from itertools import product

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from models.pixels.yuv import Yuv420ToRgb
from models.pixels.yuv_output import RgbToYuv, SampleFormat
from pipeline.frames import Color
from pipeline.media.pixels.bit_depth import RgbToHighDepth
from pipeline.media.pixels.colorspace import EXACT, swscale_matrix

BT601, BT709, BT2020 = 5, 1, 9
SHAPES = {"yuv420p": (True, True), "yuv422p": (True, False), "yuv444p": (False, False)}
FORMATS = [f"{name}{depth}" for name, depth in product(SHAPES, ("", "10le"))]
SIZES = [(48, 64), (49, 65), (33, 64), (64, 37), (8, 8), (9, 9)]


def noise(height: int, width: int, dtype: type = np.uint8) -> NDArray[np.unsignedinteger]:
    draw = np.random.default_rng(height * width)
    return draw.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def planes(frame: VideoFrame) -> list[NDArray[np.int_]]:
    is_deep = frame.format.name.endswith("10le")
    samples = [np.asarray(memoryview(plane)).view(np.uint16 if is_deep else np.uint8) for plane in frame.planes]
    return [
        each.reshape(plane.height, -1)[:, : plane.width].astype(int)
        for each, plane in zip(samples, frame.planes, strict=True)
    ]


def by_swscale(
    pixels: NDArray[np.unsignedinteger], name: str, matrix: int, *, full_range: bool
) -> list[NDArray[np.int_]]:
    """As the encode stage converts it."""
    if pixels.dtype == np.uint16:
        return planes(RgbToHighDepth(name, Color(matrix, full_range, 1, 1))(pixels, None))
    frame = VideoReformatter().reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
        format=name,
        src_color_range=2,
        dst_colorspace=swscale_matrix(matrix),
        dst_color_range=2 if full_range else 1,
        interpolation=EXACT,
        threads=1,
    )
    return planes(frame)


def by_tensors(
    pixels: NDArray[np.unsignedinteger], name: str, matrix: int, *, full_range: bool
) -> list[NDArray[np.int_]]:
    halves, bits = SHAPES[name.removesuffix("10le")], 10 if name.endswith("10le") else 8
    luma, chroma = RgbToYuv(SampleFormat(matrix, full_range, bits, *halves))(torch.from_numpy(pixels))
    return [each.numpy().astype(int) for each in (luma, *chroma)]


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("name", FORMATS)
def test_noise_becomes_the_samples_of_swscale(name: str, matrix: int, full_range: bool) -> None:
    for size in SIZES:
        pixels = noise(*size)
        expected = by_swscale(pixels, name, matrix, full_range=full_range)
        for found, wanted in zip(by_tensors(pixels, name, matrix, full_range=full_range), expected, strict=True):
            assert found.shape == wanted.shape
            assert np.abs(found - wanted).max() <= 1, size
            assert full_range or np.abs(found - wanted).mean() < 0.15, size


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("name", [name for name in FORMATS if name.endswith("10le")])
def test_16_bits_become_the_samples_of_the_encode_stage(name: str, matrix: int) -> None:
    for size in SIZES:
        pixels = noise(*size, np.uint16)
        expected = by_swscale(pixels, name, matrix, full_range=False)
        for found, wanted in zip(by_tensors(pixels, name, matrix, full_range=False), expected, strict=True):
            assert np.abs(found - wanted).max() <= 1, size


@pytest.mark.parametrize(("bits", "levels"), [(8, (16, 235)), (10, (64, 940))])
def test_black_and_white_are_exact(bits: int, levels: tuple[int, int]) -> None:
    convert = RgbToYuv(SampleFormat(BT709, bits=bits))
    for level, expected in zip((0, 255), levels, strict=True):
        luma, chroma = convert(torch.full((6, 8, 3), level, dtype=torch.uint8))
        assert luma.unique().tolist() == [expected]
        assert chroma.shape == (2, 3, 4)
        assert chroma.unique().tolist() == [2 ** (bits - 1)]


@pytest.mark.parametrize("siting", ["left", "center"])
def test_chroma_lies_where_it_is_said_to_lie(siting: str) -> None:
    """A ramp of colors comes back as it was; taken for the other siting it is moved by half a pixel."""
    ramp = torch.linspace(40, 200, 64).round()[None, :, None].expand(48, 64, 3).clone()
    ramp[..., 1], ramp[..., 2] = 120, 240 - ramp[..., 2]
    rgb = ramp.to(torch.uint8)
    luma, chroma = RgbToYuv(SampleFormat(BT709, siting=siting))(rgb)  # type: ignore[arg-type]
    errors = {}
    for other in ("left", "center"):
        back = Yuv420ToRgb(BT709, full_range=False, siting=other)(luma, chroma)  # type: ignore[arg-type]
        errors[other] = (back.int() - rgb.int())[:, 4:-4].float().abs().mean()
    assert min(errors, key=lambda name: errors[name]) == siting


def test_packed_samples_are_those_of_planes() -> None:
    convert, rgb = RgbToYuv(SampleFormat(BT709)), torch.from_numpy(noise(48, 64))
    luma, chroma = convert(rgb)
    packed = convert.packed(rgb)
    assert packed.shape == (48 * 64 * 3 // 2,)
    assert torch.equal(packed, torch.cat((luma.flatten(), chroma[0].flatten(), chroma[1].flatten())))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("bits", [8, 10])
def test_a_gpu_makes_the_samples_of_the_cpu(bits: int) -> None:
    convert, rgb = RgbToYuv(SampleFormat(BT709, bits=bits)), torch.from_numpy(noise(97, 161))
    for found, expected in zip(convert(rgb.cuda()), convert(rgb), strict=True):
        assert (found.cpu().int() - expected.int()).abs().max() <= 1
