"""Build an optimizer from a configuration: paintings, loss networks, memory."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import StylizeConfig
from pipeline.config.optimize import OptimizeConfig
from pipeline.config.style_spec import parse_blend
from pipeline.errors import InputError
from pipeline.media.stills import read_image
from pipeline.media.style_image import SUFFICIENT_PX, check_picture
from pipeline.notices import Notify
from pipeline.stylize.device import find_device
from pipeline.stylize.engine.memory_budget import BASE_BYTES, default_bound
from pipeline.stylize.loss_networks import find_loss_networks

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Precision
    from models.optimize.picture import Painting, PictureOptimizer


def build_optimizer(
    config: StylizeConfig, notify: Notify, *, is_periodic: bool = False
) -> "tuple[PictureOptimizer, torch.device, Precision]":
    """Return the optimizer, the device it works on, and the precision of its loss networks.

    Args:
        config: paintings, device, memory and the options of the optimizer.
        notify: called with each notice, one line.
        is_periodic: whether pictures continue at the opposite side.

    Raises:
        InputError: a painting or a loss network cannot be read, or no loss network has one of the layers.
        DeviceError: the device is not available.
    """
    from models.optimize.picture import PictureOptimizer

    device = find_device(config.device)
    precision = optimizing_precision(config, device)
    paintings = read_paintings(config.painting)
    networks, _ = find_loss_networks(config.optimize.loss_weights, device, notify)
    if precision == "bf16":
        networks = [network.bfloat16() for network in networks]
    bound = config.max_memory or default_bound(device)
    try:
        optimizer = PictureOptimizer(
            networks,
            paintings,
            config.optimize.settings(config.stroke_size),
            device=device,
            bound_bytes=None if bound is None else max(bound - (BASE_BYTES if device.type == "cpu" else 0), 0),
            is_periodic=is_periodic,
        )
    except ValueError as error:
        raise InputError(_names(config.optimize), f"{error}; add a file, or choose other layers") from error
    for name, layers in optimizer.features.stand_ins.items():
        notify(f"{', '.join(layers)} of VGG-19 are not in the loss weights; {name} stands in for them")
    return optimizer, device, precision


def optimizing_precision(config: StylizeConfig, device: "torch.device") -> "Precision":
    """Return the precision of the loss networks: bf16 where that is fast, else float32."""
    from models.engines.capabilities import native_precision

    if config.precision != "auto":
        return config.precision
    return "bf16" if native_precision(device) == "bf16" else "fp32"


def read_paintings(blend: str) -> "list[Painting]":
    """Return the paintings of a blend of pictures with their weights.

    Raises:
        InputError: one cannot be read, or is too small.
    """
    import torch

    from models.optimize.picture import Painting

    paintings = []
    for part in parse_blend(blend):
        check_picture(Path(part.style))
        pixels = read_image(Path(part.style), SUFFICIENT_PX)
        paintings.append(Painting(torch.from_numpy(pixels.transpose(2, 0, 1).copy()), part.weight))
    return paintings


def _names(config: OptimizeConfig) -> str:
    return ", ".join(map(str, config.loss_weights)) or "VGG-19"
