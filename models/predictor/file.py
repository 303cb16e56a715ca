"""Files of predictors: safetensors with the encoder and all that was learned.

Matrices and kernels are stored in float16, vectors in float32; the metadata are ``format``, ``architecture``, ``sizes``
and ``recipe``, JSON each.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor

from models.network import Architecture
from models.predictor.predictor import StylePredictor
from models.weight_file import WeightsError, read_header

FORMAT = "flowbrush-predictor-1"
LARGEST_HIDDEN, LARGEST_DIRECTIONS = 1024, 256
LARGEST_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class LoadedPredictor:
    """A predictor and what is known about it.

    Attributes:
        predictor: float32, on the CPU, frozen.
        recipe: how it was trained, and where its encoder is from.
    """

    predictor: StylePredictor
    recipe: Mapping[str, Any]


def to_bytes(predictor: StylePredictor, recipe: Mapping[str, Any]) -> bytes:
    """Return the content of the file of a predictor; the caller writes it."""
    tensors = {name: _stored(tensor) for name, tensor in predictor.state_dict().items()}
    sizes = {"hidden": predictor.hidden, "directions": predictor.directions}
    header = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(predictor.network.architecture)),
        "sizes": json.dumps(sizes),
        "recipe": json.dumps(recipe, ensure_ascii=False),
    }
    return serialize(tensors, metadata=header)


def load(path: Path) -> LoadedPredictor:
    """Load a predictor.

    Raises:
        WeightsError: not the file of a predictor, or its tensors do not fit.
    """
    try:
        with path.open("rb") as file:
            metadata = read_header(file)["__metadata__"]
            if metadata["format"] != FORMAT:
                raise ValueError(f"its format is {metadata['format']!r}, not {FORMAT!r}")
            file.seek(0)
            tensors = deserialize(file.read(LARGEST_FILE_BYTES))
        predictor = _empty(metadata)
        predictor.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        recipe = json.loads(metadata["recipe"])
    except Exception as error:  # a file of another kind raises anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{path}: not the weights of a predictor ({reason}); train it again") from error
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise WeightsError(f"{path}: contains weights that are not finite numbers; train it again")
    return LoadedPredictor(predictor.eval().requires_grad_(False), recipe)


def _stored(tensor: Tensor) -> Tensor:
    dtype = torch.float16 if tensor.dim() > 1 else torch.float32
    return tensor.detach().to("cpu", dtype).contiguous()


def _empty(metadata: Mapping[str, str]) -> StylePredictor:
    values, sizes = json.loads(metadata["architecture"]), json.loads(metadata["sizes"])
    architecture = Architecture(tuple(values["widths"]), values["blocks"], values["kernel"])
    hidden, directions = int(sizes["hidden"]), int(sizes["directions"])
    if not (0 < hidden <= LARGEST_HIDDEN and 0 < directions <= LARGEST_DIRECTIONS):
        raise ValueError(f"its sizes are {hidden} and {directions}")
    if max(architecture.widths) > 128 or architecture.blocks > 16:
        raise ValueError(f"the network is too large ({architecture})")
    return StylePredictor(architecture, hidden=hidden, directions=directions)
