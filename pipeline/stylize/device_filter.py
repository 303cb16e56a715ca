"""The noise filter on a GPU: a frame is copied there once, and the average of those before stays there.

OpenCV on the CPU takes 50 ms for a frame of 1920x1080, longer than a GPU takes to stylize it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels, Samples
from pipeline.stylize.device import device_errors
from pipeline.stylize.temporal_filters import BLUR_PX, DILATE_PX, GAIN, FilteredFrame

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.engines.gpu.transfers import FrameTransfers


@dataclass(frozen=True, slots=True)
class DeviceFrame:
    """A frame without noise, on a device; see `pipeline.stylize.temporal_filters.FilteredFrame`.

    Attributes:
        pixels: ``(H, W, 3)`` in the dtype of the frame.
        average: the same as float32.
    """

    pixels: "Tensor"
    average: "Tensor"


class DeviceNoiseFilter:
    """Called as `pipeline.stylize.temporal_filters.filter_noise`, with the same result up to rounding.

    Args:
        device: where it runs.
        transfers: to the device.
    """

    def __init__(self, device: "torch.device", transfers: "FrameTransfers") -> None:
        from models.temporal.noise_filter import NoiseFilter

        self._device, self._transfers = device, transfers
        self._filter = NoiseFilter(GAIN.tolist(), blur_px=BLUR_PX, dilate_px=DILATE_PX)

    def __call__(self, pixels: Pixels | Samples, before: FilteredFrame | DeviceFrame | None) -> DeviceFrame:
        """Filter a frame ``(H, W, 3)`` that is in main memory, or whose samples are.

        Raises:
            DeviceError: the device failed, or has too little memory.
        """
        with device_errors(self._device):
            last = None if before is None else (self._moved(before.pixels), self._moved(before.average))
            image = self._moved(pixels) if isinstance(pixels, np.ndarray) else rgb_on_device(pixels, self._transfers)
            return DeviceFrame(*self._filter(image, last))

    def _moved(self, image: "NDArray[np.generic] | Tensor") -> "Tensor":
        """Return ``image`` on the device; one that was stored with a segment is not there yet."""
        return self._transfers.upload(to_tensor(image)) if isinstance(image, np.ndarray) else image


def rgb_on_device(samples: Samples, transfers: "FrameTransfers") -> "Tensor":
    """Return a frame ``(H, W, 3)`` uint8 on the device, whose RGB is computed there."""
    from models.pixels.yuv import Siting, converter, rgb_of_packed

    color, siting = samples.color, cast(Siting, samples.siting)
    convert = converter(color.matrix, siting, full_range=color.full_range)
    size = samples.height, samples.width
    packed = transfers.upload(to_tensor(samples.packed))
    return rgb_of_packed(packed, *size, convert, is_interleaved=samples.is_interleaved)


def to_tensor(image: "NDArray[np.generic] | Tensor") -> "Tensor":
    """Return ``image`` as a tensor, which shares its memory unless that is read-only."""
    if not isinstance(image, np.ndarray):
        return image
    import torch

    return torch.from_numpy(image if image.flags.writeable else image.copy())  # torch warns of read-only memory


def to_array(image: "NDArray[np.generic] | Tensor") -> NDArray[np.generic]:
    """Return ``image``, wherever it is, in main memory."""
    return image if isinstance(image, np.ndarray) else image.cpu().numpy()
