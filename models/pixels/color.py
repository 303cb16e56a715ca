"""Color by its definitions: YUV of any depth to RGB and back, and HDR to SDR.

Images are ``(3, H, W)`` float32 tensors; RGB is in [0, 1] and carries the transfer curve of its video, unless it is
called linear.
"""

from typing import Literal

import torch
from torch import Tensor

Hdr = Literal["PQ", "HLG"]

# Luma weights of R'G'B' by ITU-R BT.709; a widely copied port of ReCoNet has .7512 for green.
BT709_LUMA = (0.2126, 0.7152, 0.0722)

# Luma weights of red and blue by ITU-T H.273 matrix number; constant-luminance BT.2020 (10) is read as the usual one.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
_WEIGHTS |= {9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}

# x and y of red, green and blue by H.273 number of the primaries; white is D65 in all of them.
_PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)

# What an SDR screen's white stands for: the reference white of HDR, ITU-R BT.2408.
WHITE_NITS = 203.0
# Peak of a stream without metadata; also the nominal peak of HLG.
PEAK_NITS = 1000.0
# Of the screen that SDR is graded on, ITU-R BT.1886 without its black.
GAMMA = 2.4

# SMPTE ST 2084.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ARIB STD-B67.
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * torch.log(torch.tensor(4 * _A, dtype=torch.float64)).item()

# A power costs a frame of 1920x1080 16 ms, a table 3; its steps are a sixteenth of those of 10 bits.
_STEPS = 16384


class YuvMatrix:
    """Between Y'CbCr samples and R'G'B', by the definition of the matrix: ITU-R BT.601, BT.709, BT.2020.

    Args:
        matrix: its H.273 number; one that is not known counts as BT.709.
        full_range: whether luma spans all numbers.
        bits: of a sample.
    """

    def __init__(self, matrix: int, *, full_range: bool, bits: int) -> None:
        red, blue = _WEIGHTS.get(matrix, _WEIGHTS[1])
        green = 1 - red - blue
        rgb_to_yuv = torch.tensor(
            [
                [red, green, blue],
                [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
                [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
            ],
            dtype=torch.float64,
        )
        step, most = 2.0 ** (bits - 8), 2.0**bits - 1
        spans = [most] * 3 if full_range else [219 * step, 224 * step, 224 * step]
        zeros = [0.0 if full_range else 16 * step, 128 * step, 128 * step]
        self._most = most
        self._out = (rgb_to_yuv * torch.tensor(spans, dtype=torch.float64)[:, None]).float()
        self._zeros = torch.tensor(zeros)[:, None]
        self._in = self._out.double().inverse().float()

    @property
    def numbers(self) -> tuple[list[float], list[list[float]]]:
        """The samples of black, and by how much each channel of RGB in [0, 1] raises each sample."""
        return self._zeros.flatten().tolist(), self._out.tolist()

    def to_rgb(self, planes: Tensor) -> Tensor:
        """``(3, H, W)`` samples, as float32, to RGB; what lies outside of [0, 1] is left there."""
        return (self._in @ (planes.flatten(1) - self._zeros)).view_as(planes)

    def to_yuv(self, rgb: Tensor) -> Tensor:
        """``(3, H, W)`` RGB to samples, float32, rounded and within what a sample holds."""
        samples = torch.addmm(self._zeros, self._out, rgb.flatten(1)).round_().clamp_(0, self._most)
        return samples.view_as(rgb)


class ToneMap:
    """HDR to SDR in BT.709, as it looks on a screen whose white is the reference white of HDR.

    The samples become light by the exact curves of SMPTE ST 2084 (PQ) or ARIB STD-B67 (HLG, with the system gamma 1.2
    of a screen of 1000 nits, ITU-R BT.2100). In linear light the primaries go over to BT.709; a color outside of
    these is desaturated towards its own luminance until no channel is negative, so that its hue stays. Then the curve
    of ITU-R BT.2390 (EETF, 5.4.1) is applied to the largest channel, and the others scale with it: neither is a
    channel clipped nor does the hue turn. Everything up to 88 nits stays as it is where the peak is 1000 nits.

    Args:
        transfer: the curve of the samples.
        primaries: their H.273 number; those that are not known count as BT.709.
        peak_nits: brightest light of a PQ stream; HLG has its own.
    """

    def __init__(self, transfer: Hdr, primaries: int, peak_nits: float = PEAK_NITS) -> None:
        self._is_hlg = transfer == "HLG"
        peak = PEAK_NITS if self._is_hlg else min(max(peak_nits, WHITE_NITS), 10000.0)
        level = torch.linspace(0, 1, _STEPS, dtype=torch.float64)
        self._light = (hlg_to_scene(level) if self._is_hlg else pq_to_nits(level) / WHITE_NITS).float()
        self._system_gamma = (PEAK_NITS / WHITE_NITS * level.square() ** 0.2).float()
        self._luminance = _luminance(primaries).float()
        self._matrix = to_bt709(primaries).float()
        self._bt709 = _luminance(1).float()
        self._peak = peak / WHITE_NITS
        nits = level.square() * peak
        darker = (bt2390(nits, peak) / nits).nan_to_num(1.0)
        self._darker = darker.float()
        self._code = (level.square() ** (1 / GAMMA)).float()

    def __call__(self, rgb: Tensor) -> Tensor:
        """``(3, H, W)`` RGB of the stream to RGB in [0, 1] of BT.709, coded for a screen of gamma 2.4."""
        light = _look_up(self._light, rgb)
        if self._is_hlg:
            scene = torch.tensordot(self._luminance, light, 1)
            light = light * _look_up(self._system_gamma, scene.sqrt())
        light = self._inside(torch.tensordot(self._matrix, light, 1))
        largest = light.amax(dim=0)
        darker = _look_up(self._darker, (largest / self._peak).sqrt())
        light = light * torch.minimum(darker, largest.reciprocal())
        return _look_up(self._code, light.clamp_min_(0).sqrt_())

    def _inside(self, light: Tensor) -> Tensor:
        """No channel below 0: a color that BT.709 lacks moves straight towards the grey of its luminance."""
        luminance = torch.tensordot(self._bt709, light, 1)
        lowest = light.amin(dim=0)
        kept = torch.where(lowest < 0, luminance / (luminance - lowest), 1.0)
        return torch.lerp(luminance, light, kept)


def pq_to_nits(level: Tensor) -> Tensor:
    """The EOTF of SMPTE ST 2084: levels in [0, 1] to cd/m2."""
    power = level ** (1 / _M2)
    return 10000 * ((power - _C1).clamp_min(0) / (_C2 - _C3 * power)) ** (1 / _M1)


def nits_to_pq(nits: Tensor) -> Tensor:
    """The inverse of `pq_to_nits`."""
    power = (nits / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(level: Tensor) -> Tensor:
    """The inverse OETF of ARIB STD-B67: levels in [0, 1] to the light of the scene in [0, 1]."""
    return torch.where(level <= 0.5, level.square() / 3, (((level - _C) / _A).exp() + _B) / 12)


def bt2390(nits: Tensor, peak_nits: float) -> Tensor:
    """The EETF of ITU-R BT.2390-11, 5.4.1: light up to ``peak_nits`` brought below `WHITE_NITS`.

    Straight up to a knee, then a Hermite spline, both in levels of PQ; black stays where it is.
    """
    whole = nits_to_pq(torch.tensor(peak_nits, dtype=nits.dtype))
    most = nits_to_pq(torch.tensor(WHITE_NITS, dtype=nits.dtype)) / whole
    knee = 1.5 * most - 0.5
    level = nits_to_pq(nits) / whole
    t = (level - knee) / (1 - knee).clamp_min(1e-9)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_to_nits(torch.where(level < knee, level, spline) * whole)


def to_bt709(primaries: int) -> Tensor:
    """``(3, 3)`` float64: linear RGB of these primaries (H.273) to that of BT.709; not known ones are left."""
    return _to_xyz(1).inverse() @ _to_xyz(primaries)


def _to_xyz(primaries: int) -> Tensor:
    corners = torch.tensor([(x / y, 1, (1 - x - y) / y) for x, y in _PRIMARIES.get(primaries, _PRIMARIES[1])]).double()
    x, y = _D65
    white = torch.tensor([x / y, 1, (1 - x - y) / y]).double()
    brightness: Tensor = torch.linalg.solve(corners.T, white)
    return corners.T * brightness


def _luminance(primaries: int) -> Tensor:
    """``(3,)``: what each channel adds to the luminance."""
    return _to_xyz(primaries)[1]


def _look_up(table: Tensor, level: Tensor) -> Tensor:
    index = (level.clamp(0, 1) * (_STEPS - 1)).round_().int()
    found: Tensor = table.index_select(0, index.flatten()).view_as(level)
    return found
