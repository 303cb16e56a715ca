"""Conversion of HDR and of more than 8 bits, from decoded frames to RGB and from RGB to what an encoder takes.

swscale only resamples chroma here: its matrices are 1.3 levels of 255 off at 10 bits, and overflow with the flags that
make 8 bits exact. `models.pixels.color` computes the colors by their definitions.
"""

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.frames import Color, Pixels, VideoInfo
from pipeline.media.pixels.alpha import has_alpha
from pipeline.media.pixels.colorspace import EXACT, RGB, hdr_transfer, source_color

if TYPE_CHECKING:
    from models.pixels.color import Hdr, ToneMap, YuvMatrix

# Rows converted at a time: intermediate values stay in the CPU's cache, twice as fast as a whole frame at once.
ROWS = 32
_DEPTHS = (8, 10, 12, 16)
# The same matrix and range on both sides, so that swscale leaves the sample values alone.
_UNCHANGED = {"src_color_range": 2, "dst_color_range": 2, "src_colorspace": 1, "dst_colorspace": 1}


@cache
def bit_depth(pixel_format: str) -> int:
    """Return the bits of a sample of ``pixel_format`` (FFmpeg's name)."""
    return max((component.bits for component in VideoFormat(pixel_format).components), default=8)


class HighDepthToRgb:
    """Convert decoded frames of any depth to RGB by the definitions of their colors; one instance per thread.

    HDR frames are tone-mapped, see `models.pixels.color.ToneMap`.

    Args:
        info: `VideoInfo.is_16_bit` chooses uint16 or uint8, `VideoInfo.peak_nits` is the peak of PQ frames.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._dtype = np.uint16 if info.is_16_bit else np.uint8
        self._peak_nits = info.peak_nits
        self._reformatter = VideoReformatter()

    def __call__(
        self, frame: VideoFrame, width: int, height: int, interpolation: Interpolation
    ) -> tuple[Pixels, Pixels | None]:
        """Return pixels ``(height, width, 3)`` and alpha ``(height, width)`` (None if the format has none)."""
        color, with_alpha = source_color(frame), has_alpha(frame.format.name)
        bits = next(depth for depth in _DEPTHS if depth >= min(bit_depth(frame.format.name), 16))
        planar = self._reformatter.reformat(
            frame,
            width,
            height,
            format=_planar_format(color.matrix == RGB, with_alpha, bits),
            interpolation=interpolation,
            threads=1,
            **_UNCHANGED,
        )
        planes = _planes(planar)
        if color.matrix == RGB:
            planes[:3] = [planes[2], planes[0], planes[1]]
        alpha = None
        if with_alpha:
            scale = np.float32(np.iinfo(self._dtype).max) / np.float32(2**bits - 1)
            alpha = np.rint(planes[3] * scale).astype(self._dtype)
        return self._rgb(planes[:3], color, bits, np.empty((height, width, 3), self._dtype)), alpha

    def _rgb(self, planes: list[NDArray[np.unsignedinteger]], color: Color, bits: int, pixels: Pixels) -> Pixels:
        import torch

        most = float(np.iinfo(pixels.dtype).max)
        use_one_thread()
        with torch.inference_mode():
            matrix = None if color.matrix == RGB else _yuv_matrix(color, bits)
            transfer = hdr_transfer(color)
            tone_map = None if transfer is None else _tone_map(transfer, color.primaries, self._peak_nits)
            target = torch.from_numpy(pixels)
            for top in range(0, len(pixels), ROWS):
                band = torch.from_numpy(np.stack([plane[top : top + ROWS] for plane in planes]).astype(np.float32))
                rgb = band / (2**bits - 1) if matrix is None else matrix.to_rgb(band)
                rgb = rgb.clamp_(0, 1) if tone_map is None else tone_map(rgb)
                target[top : top + ROWS] = (rgb.permute(1, 2, 0) * most).round_()
        return pixels


class RgbToHighDepth:
    """Convert 16-bit RGB to frames of more than 8 bits for an encoder; one instance per thread.

    Args:
        pixel_format: FFmpeg's name of the encoder's pixel format.
        color: how the samples are written.
    """

    def __init__(self, pixel_format: str, color: Color) -> None:
        self._format, self._color = VideoFormat(pixel_format), color
        self._bits = bit_depth(pixel_format)
        self._reformatter = VideoReformatter()

    def __call__(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        """Return a frame of ``pixels`` ``(H, W, 3)`` and ``alpha`` ``(H, W)``, both uint16."""
        height, width, _ = pixels.shape
        frame = VideoFrame(width, height, _planar_format(self._format.is_rgb, alpha is not None, self._bits))
        planes = _planes(frame)
        if self._format.is_rgb:
            for plane, channel in zip(planes, (1, 2, 0), strict=False):
                plane[:] = self._scaled(pixels[..., channel])
        else:
            self._write_yuv(pixels, planes)
        if alpha is not None:
            planes[3][:] = self._scaled(alpha)
        if frame.format.name == self._format.name:
            return frame
        return self._reformatter.reformat(frame, format=self._format.name, interpolation=EXACT, threads=1, **_UNCHANGED)

    def _scaled(self, samples: Pixels) -> NDArray[np.uint16]:
        most = 2**self._bits - 1
        return np.asarray((samples.astype(np.uint32) * most + 32767) // 65535, np.uint16)

    def _write_yuv(self, pixels: Pixels, planes: list[NDArray[np.unsignedinteger]]) -> None:
        import torch

        use_one_thread()
        with torch.inference_mode():
            matrix = _yuv_matrix(self._color, self._bits)
            for top in range(0, len(pixels), ROWS):
                band = torch.from_numpy(pixels[top : top + ROWS].astype(np.float32)).permute(2, 0, 1) / 65535
                for plane, rows in zip(planes, matrix.to_yuv(band).numpy(), strict=False):
                    plane[top : top + ROWS] = rows


def use_one_thread() -> None:
    """Limit torch to one thread in the calling thread: threads that wait for each other starve the stylizer.

    The limit is set once and stays: each change discards what oneDNN has prepared for all threads.
    """
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@lru_cache(maxsize=8)
def _yuv_matrix(color: Color, bits: int) -> "YuvMatrix":
    from models.pixels.color import YuvMatrix

    return YuvMatrix(color.matrix, full_range=color.full_range, bits=bits)


@lru_cache(maxsize=8)
def _tone_map(transfer: "Hdr", primaries: int, peak_nits: float | None) -> "ToneMap":
    from models.pixels.color import PEAK_NITS, ToneMap

    return ToneMap(transfer, primaries, peak_nits or PEAK_NITS)


def _planar_format(is_rgb: bool, with_alpha: bool, bits: int) -> str:
    """Return FFmpeg's name of a planar format without chroma subsampling."""
    depth = "" if bits == 8 else f"{bits}le"
    if is_rgb:
        return f"gbr{'a' if with_alpha else ''}p{depth}"
    return f"yuv{'a' if with_alpha else ''}444p{depth}"


def _planes(frame: VideoFrame) -> list[NDArray[np.unsignedinteger]]:
    """Return views of the planes of ``frame``, each ``(height, width)``."""
    planes: list[NDArray[np.unsignedinteger]] = []
    for plane in frame.planes:
        samples = memoryview(plane).cast("B" if bit_depth(frame.format.name) == 8 else "H")
        planes.append(np.asarray(samples).reshape(plane.height, -1)[:, : plane.width])
    return planes
