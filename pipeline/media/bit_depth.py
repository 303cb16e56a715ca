"""Pictures of more than 8 bits, and HDR, between the decoder, the pipeline and the encoder.

Here swscale only brings chroma to full resolution and back: its matrices are 1.3 levels of 255 off at 10 bits, and
with the flags that make 8 bits exact they overflow. `models.color` computes them by their definitions.
"""

from typing import TYPE_CHECKING

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.frames import Color, Pixels, VideoInfo
from pipeline.media.colorspace import EXACT, RGB, hdr_of, source_color

if TYPE_CHECKING:
    from models.color import ToneMap, YuvMatrix

# Rows at a time: what is between two steps stays in the cache, twice as fast as the whole picture at once.
ROWS = 32
_DEPTHS = (8, 10, 12, 16)


def bits_of(frame: VideoFrame) -> int:
    """Of a sample of ``frame``."""
    return max((component.bits for component in frame.format.components), default=8)


class HighDepthToRgb:
    """Turns decoded frames of any depth into RGB by the definitions of their colours; one instance a thread.

    HDR comes out tone-mapped, see `models.color.ToneMap`.

    Args:
        info: whether pixels are to be uint16, and how bright HDR is.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._reformatter = VideoReformatter()
        self._matrices: dict[tuple[int, bool, int], YuvMatrix] = {}
        self._tone_maps: dict[tuple[str, int], ToneMap] = {}

    def __call__(
        self, frame: VideoFrame, width: int, height: int, interpolation: Interpolation
    ) -> tuple[Pixels, Pixels | None]:
        """Return pixels ``(height, width, 3)`` and alpha ``(height, width)``; uint16 if `VideoInfo.is_16_bit`."""
        color, bits = source_color(frame), next(depth for depth in _DEPTHS if depth >= min(bits_of(frame), 16))
        has_alpha = any(component.is_alpha for component in frame.format.components)
        whole = self._reformatter.reformat(
            frame,
            width,
            height,
            format=_planar(color.matrix == RGB, has_alpha, bits),
            src_color_range=2,  # on both sides the same: samples stay what they are
            dst_color_range=2,
            src_colorspace=1,
            dst_colorspace=1,
            interpolation=interpolation,
            threads=1,
        )
        planes = _planes(whole)
        if color.matrix == RGB:
            planes[:3] = [planes[2], planes[0], planes[1]]
        most = np.float32(65535 if self._info.is_16_bit else 255)
        kind = np.uint16 if self._info.is_16_bit else np.uint8
        alpha = None
        if has_alpha:
            alpha = np.rint(planes[3] * (most / np.float32(2**bits - 1))).astype(kind)
        return self._rgb(planes[:3], color, bits, np.empty((height, width, 3), kind)), alpha

    def _rgb(self, planes: list[NDArray[np.unsignedinteger]], color: Color, bits: int, pixels: Pixels) -> Pixels:
        import torch

        most = float(np.iinfo(pixels.dtype).max)
        take_one_core()
        with torch.inference_mode():
            matrix = None if color.matrix == RGB else self._matrix(color, bits)
            tone_map = self._tone_map(color)
            written = torch.from_numpy(pixels)
            for top in range(0, len(pixels), ROWS):
                band = torch.from_numpy(np.stack([plane[top : top + ROWS] for plane in planes]).astype(np.float32))
                rgb = band / (2**bits - 1) if matrix is None else matrix.to_rgb(band)
                rgb = rgb.clamp_(0, 1) if tone_map is None else tone_map(rgb)
                written[top : top + ROWS] = (rgb.permute(1, 2, 0) * most).round_()
        return pixels

    def _matrix(self, color: Color, bits: int) -> "YuvMatrix":
        from models.color import YuvMatrix

        key = (color.matrix, color.full_range, bits)
        if key not in self._matrices:
            self._matrices[key] = YuvMatrix(color.matrix, full_range=color.full_range, bits=bits)
        return self._matrices[key]

    def _tone_map(self, color: Color) -> "ToneMap | None":
        from models.color import PEAK_NITS, ToneMap

        transfer = hdr_of(color)
        if transfer is None:
            return None
        key = (transfer, color.primaries)
        if key not in self._tone_maps:
            self._tone_maps[key] = ToneMap(transfer, color.primaries, self._info.peak_nits or PEAK_NITS)
        return self._tone_maps[key]


class RgbToHighDepth:
    """Turns RGB of 16 bits into what an encoder of more than 8 takes; one instance a thread.

    Args:
        pixel_format: FFmpeg's name of that.
        color: how samples are written.
    """

    def __init__(self, pixel_format: str, color: Color) -> None:
        self._format, self._color = VideoFormat(pixel_format), color
        self._bits, self._is_rgb = max(component.bits for component in self._format.components), self._format.is_rgb
        self._reformatter = VideoReformatter()
        self._matrix: YuvMatrix | None = None

    def __call__(self, pixels: Pixels, alpha: Pixels | None) -> VideoFrame:
        """The picture of ``pixels`` ``(H, W, 3)`` and ``alpha`` ``(H, W)``, both uint16."""
        height, width, _ = pixels.shape
        frame = VideoFrame(width, height, _planar(self._is_rgb, alpha is not None, self._bits))
        planes = _planes(frame)
        if self._is_rgb:
            for plane, channel in zip(planes, (1, 2, 0), strict=False):
                plane[:] = self._scaled(pixels[..., channel])
        else:
            self._write_yuv(pixels, planes)
        if alpha is not None:
            planes[3][:] = self._scaled(alpha)
        if frame.format.name == self._format.name:
            return frame
        same = {"src_color_range": 2, "dst_color_range": 2, "src_colorspace": 1, "dst_colorspace": 1}
        return self._reformatter.reformat(frame, format=self._format.name, interpolation=EXACT, threads=1, **same)

    def _scaled(self, samples: Pixels) -> NDArray[np.uint16]:
        most = 2**self._bits - 1
        return np.asarray((samples.astype(np.uint32) * most + 32767) // 65535, np.uint16)

    def _write_yuv(self, pixels: Pixels, planes: list[NDArray[np.unsignedinteger]]) -> None:
        import torch

        from models.color import YuvMatrix

        if self._matrix is None:
            self._matrix = YuvMatrix(self._color.matrix, full_range=self._color.full_range, bits=self._bits)
        take_one_core()
        with torch.inference_mode():
            for top in range(0, len(pixels), ROWS):
                band = torch.from_numpy(pixels[top : top + ROWS].astype(np.float32)).permute(2, 0, 1) / 65535
                samples = self._matrix.to_yuv(band).numpy()
                for plane, row in zip(planes, samples, strict=False):
                    plane[top : top + ROWS] = row


def take_one_core() -> None:
    """Let this thread's torch use one core: threads that wait for each other starve the painters.

    Set once and left: each setting throws away what oneDNN has prepared for all threads.
    """
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _planar(is_rgb: bool, has_alpha: bool, bits: int) -> str:
    """FFmpeg's name of samples in planes of full resolution."""
    depth = "" if bits == 8 else f"{bits}le"
    if is_rgb:
        return f"gbr{'a' if has_alpha else ''}p{depth}"
    return f"yuv{'a' if has_alpha else ''}444p{depth}"


def _planes(frame: VideoFrame) -> list[NDArray[np.unsignedinteger]]:
    """Views of the planes of ``frame``, each ``(height, width)``."""
    planes: list[NDArray[np.unsignedinteger]] = []
    for plane in frame.planes:
        samples = memoryview(plane).cast("B" if bits_of(frame) == 8 else "H")
        planes.append(np.asarray(samples).reshape(plane.height, -1)[:, : plane.width])
    return planes
