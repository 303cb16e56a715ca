"""Loss networks from files, or torchvision's VGG-19, downloaded once; for training and for evaluation."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError, first_line
from pipeline.notices import Notify

if TYPE_CHECKING:
    import torch

    from models.training.losses.loss_network import LossNetwork


def find_loss_networks(
    files: Sequence[Path], device: "torch.device", notify: Notify
) -> tuple[list["LossNetwork"], list[dict[str, str]]]:
    """Load the loss networks; return them and, for the recipe, their names and files.

    Args:
        files: their weights, see `models.training.losses.loss_network`; none means torchvision's VGG-19, downloaded
            once.
        device: where they run.
        notify: called with one line before a download.

    Raises:
        InputError: a file is not the weights of a loss network, or the download failed or is damaged.
    """
    import torch

    from models.training.losses.loss_network import load_loss_network

    networks, sources = [], []
    for file in files:
        try:
            network = load_loss_network(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # torch.load raises anything; each is a file that cannot be used
            raise InputError(file, f"not the weights of a loss network ({first_line(error)})") from error
        networks.append(network)
        sources.append({"network": network.name, "file": file.name, "sha256": digest(file)})
    if not networks:
        networks.append(_torchvision_vgg19(notify))
        sources.append({"network": networks[0].name, "file": "VGG19_Weights.IMAGENET1K_V1", "sha256": ""})
    return [network.to(device).to(memory_format=torch.channels_last) for network in networks], sources


def _torchvision_vgg19(notify: Notify) -> "LossNetwork":
    import torch
    from torchvision.models import VGG19_Weights

    from models.training.losses.loss_network import load_loss_network

    weights = VGG19_Weights.IMAGENET1K_V1
    notify("loading torchvision's VGG-19 (548 MB, downloaded once)")
    try:
        return load_loss_network(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # torch.load raises anything
        file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
        if file.exists():
            reason = f"not the weights of VGG-19 ({first_line(error)}); delete it, or give a file with --loss-weights"
            raise InputError(file, reason) from error
        reason = f"the download of VGG-19 failed ({first_line(error)}); give a file with --loss-weights"
        raise InputError(weights.url, reason) from error


def digest(*paths: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of the contents of files, in order."""
    content = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                content.update(block)
    return content.hexdigest()[:16]
