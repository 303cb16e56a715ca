"""Styles in weight files: the bundled ones and those that users train. Reading their metadata imports no torch.

One file holds one or more styles that share their convolutions:

    network.<layer>                          the convolutions, float16
    style.<name>.{scale,shift,weight,bias}   the other fields of `models.network.Style`, float16
    metadata                          ``format``, ``architecture``, ``styles`` (`StyleMetadata`), ``recipe``; JSON each
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.weight_file import FORMAT, WeightsError, read_metadata, with_metadata

if TYPE_CHECKING:
    from torch import Tensor

    from models.network import Architecture, Style, StyleNetwork

__all__ = [
    "BUNDLED",
    "Catalog",
    "LoadedStyle",
    "StyleMetadata",
    "WeightsError",
    "bundled",
    "find",
    "is_weight_file",
    "load",
    "read_catalog",
    "to_bytes",
    "with_styles",
]

BUNDLED = Path(__file__).parent / "weights"
"""Folder of the weight files that are part of the package."""
# A larger network is not one for video, and its parameters could fill the memory.
LARGEST_WIDTH, LARGEST_BLOCKS, LARGEST_KERNEL = 512, 32, 31


@dataclass(frozen=True, slots=True)
class StyleMetadata:
    """What is known about a style.

    Attributes:
        name: as in ``--style NAME``.
        painting: title of the artwork.
        painter: name of the artist.
        year: of the artwork, as text.
        status: legal status of the artwork.
        source: origin of the style image.
        licence: of the weights.
        painting_px: short side of the style image in training, in pixels.
        weights: of the training losses, by name.
        figures: measured scores, by name.
    """

    name: str
    painting: str = ""
    painter: str = ""
    year: str = ""
    status: str = ""
    source: str = ""
    licence: str = ""
    painting_px: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("weights", "figures"):
                if not isinstance(value, dict) or not all(isinstance(each, int | float) for each in value.values()):
                    raise TypeError(f"{name} must be an object of numbers")
            elif not isinstance(value, int if name == "painting_px" else str):
                raise TypeError(f"{name} must not be {type(value).__name__}")
        if not self.name:
            raise ValueError("a style has no name")

    @property
    def tag(self) -> dict[str, str]:
        """Metadata of a video in this style."""
        return {"comment": f"painted by flowbrush in the style {self.name}"}


@dataclass(frozen=True, slots=True)
class Catalog:
    """A weight file without its tensors.

    Attributes:
        path: of the file.
        styles: metadata by style name, in the order of the file.
        recipe: how the weights were trained.
    """

    path: Path
    styles: Mapping[str, StyleMetadata]
    recipe: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedStyle:
    """A style and the network that it is for.

    Attributes:
        network: what to run.
        style: float32, on the CPU.
        metadata: what is known about the style.
    """

    network: "StyleNetwork"
    style: "Style"
    metadata: StyleMetadata


def read_catalog(path: Path) -> Catalog:
    """Read the metadata of the styles in a weight file.

    Raises:
        WeightsError: not a weight file of this program.
    """
    metadata = read_metadata(path)
    known = {f.name for f in fields(StyleMetadata)}
    try:
        listed = json.loads(metadata["styles"])
        styles = [StyleMetadata(**{k: v for k, v in each.items() if k in known}) for each in listed]
        recipe = json.loads(metadata.get("recipe", "{}"))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged metadata ({error}); train or download the style again") from error
    if not styles:
        raise WeightsError(f"{path}: contains no style; train it again")
    return Catalog(path, {style.name: style for style in styles}, recipe)


def bundled() -> dict[str, Catalog]:
    """Return the file of each style that is part of the package, by name of the style, sorted.

    Raises:
        WeightsError: a file is damaged, or there is none.
    """
    catalogs = [read_catalog(path) for path in sorted(BUNDLED.glob("*.safetensors"))]
    found = {name: catalog for catalog in catalogs for name in catalog.styles}
    if not found:
        raise WeightsError(f"{BUNDLED}: contains no styles")
    return dict(sorted(found.items()))


def is_weight_file(style: str) -> bool:
    """Return whether ``style`` refers to a weight file of the user, not to a bundled style."""
    return style.endswith(".safetensors") or "/" in style or "\\" in style or ".safetensors#" in style


def find(style: str) -> tuple[Catalog, StyleMetadata]:
    """Find a style by the name of a bundled style, the path of a weight file, or ``FILE#NAME``.

    Raises:
        WeightsError: no such style (the message suggests others), or the file cannot be used.
    """
    if is_weight_file(style):
        return _find_in_file(style)
    known = bundled()
    if style in known:
        return known[style], known[style].styles[style]
    near = difflib.get_close_matches(style, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"bundled: {', '.join(known)}"
    raise WeightsError(
        f"no style is named {style!r}; {hint} (weight files end in .safetensors, pictures in .jpg or .png)"
    )


def _find_in_file(style: str) -> tuple[Catalog, StyleMetadata]:
    path, separator, name = style.rpartition("#")
    if not separator or style.endswith(".safetensors"):  # a folder name may contain # too
        path, name = style, ""
    catalog = read_catalog(Path(path))
    if not name and len(catalog.styles) == 1:
        return catalog, next(iter(catalog.styles.values()))
    if name in catalog.styles:
        return catalog, catalog.styles[name]
    reason = f"contains no style {name!r}" if name else f"contains {len(catalog.styles)} styles"
    raise WeightsError(f"{path}: {reason}; choose {' or '.join(f'{path}#{each}' for each in catalog.styles)}")


def load(style: str) -> LoadedStyle:
    """Load the parameters of ``style``; see `find`.

    Raises:
        WeightsError: no such style, or its tensors are missing or have the wrong shape.
    """
    from safetensors import SafetensorError, safe_open

    from models.network import Style, StyleNetwork

    catalog, metadata = find(style)
    try:
        network = StyleNetwork(_architecture(catalog.path))
        expected = network.shapes()
        with safe_open(str(catalog.path), framework="pt") as file:
            tensors = {name: _floats(file, name) for name in _tensor_names(network, metadata.name)}
    except (SafetensorError, OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{catalog.path}: the weights cannot be used ({reason})") from error
    for (name, tensor), shape in zip(tensors.items(), expected, strict=True):
        if tuple(tensor.shape) != shape:
            raise WeightsError(f"{catalog.path}: {name} is {tuple(tensor.shape)}, should be {shape}")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise WeightsError(f"{catalog.path}: contains weights that are not finite numbers; train the style again")
    return LoadedStyle(network, Style.of(list(tensors.values())), metadata)


def _tensor_names(network: "StyleNetwork", style: str) -> list[str]:
    """Return the names of the tensors of a style in a weight file, in the order of `Style.tensors`."""
    vectors = ("scale", "shift", "weight", "bias")
    return [f"network.{layer.name}" for layer in network.layers] + [f"style.{style}.{name}" for name in vectors]


def _floats(file: Any, name: str) -> "Tensor":
    tensor: Tensor = file.get_tensor(name)
    if not tensor.is_floating_point():
        raise TypeError(f"{name} is of {tensor.dtype}, should be float16")
    return tensor.float()


def _architecture(path: Path) -> "Architecture":
    from models.network import Architecture

    values = json.loads(read_metadata(path)["architecture"])
    if not isinstance(values, dict):
        raise TypeError("architecture is not an object")
    architecture = Architecture(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]
    widest = max(architecture.widths)
    if widest > LARGEST_WIDTH or architecture.blocks > LARGEST_BLOCKS or architecture.kernel > LARGEST_KERNEL:
        raise ValueError(f"the network is too large ({architecture})")
    return architecture


def to_bytes(
    network: "StyleNetwork",
    styles: Sequence["Style"],
    metadata: Sequence[StyleMetadata],
    recipe: Mapping[str, Any],
) -> bytes:
    """Return the content of a weight file, in float16; the caller writes it.

    Args:
        network: that the styles are for.
        styles: at least one; they share their convolutions.
        metadata: of each style.
        recipe: how they were trained.

    Raises:
        ValueError: the number of styles and that of their metadata differ, or their convolutions do.
    """
    import torch
    from safetensors.torch import save as serialize

    if len(styles) != len(metadata):
        raise ValueError(f"metadata of {len(metadata)} styles for {len(styles)} styles")
    tensors: dict[str, Tensor] = {}
    for style, each in zip(styles, metadata, strict=True):
        if not all(map(torch.equal, style.convolutions, styles[0].convolutions)):
            raise ValueError(f"the styles of a file share their convolutions; {each.name} has others")
        tensors |= dict(zip(_tensor_names(network, each.name), style.tensors(), strict=True))
    half = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in tensors.items()}
    header = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(network.architecture)),
        "styles": _styles_as_json(metadata),
        "recipe": json.dumps(recipe, ensure_ascii=False),
    }
    return serialize(half, metadata=header)


def with_styles(path: Path, metadata: Sequence[StyleMetadata]) -> bytes:
    """Return the content of a weight file with other metadata of its styles; its tensors stay the same.

    Raises:
        WeightsError: not a weight file of this program, or it contains other styles.
    """
    names, given = list(read_catalog(path).styles), [each.name for each in metadata]
    if sorted(given) != sorted(names):
        raise WeightsError(f"{path}: contains {', '.join(names)}; the new metadata is of {', '.join(given)}")
    return with_metadata(path.read_bytes(), {"styles": _styles_as_json(metadata)})


def _styles_as_json(metadata: Sequence[StyleMetadata]) -> str:
    return json.dumps([asdict(each) for each in metadata], ensure_ascii=False)
