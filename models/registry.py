"""Weight files: the bundled styles and those that users train. Safetensors alone, so that loading runs no code.

One file holds one network and one or more styles for it:

    network.<parameter>               the convolutions, float16
    style.<name>.{scale,shift,...}    the fields of `models.network.Style`, float16
    metadata                          ``format``, ``architecture``, ``styles`` (their cards), ``recipe``; JSON each

Reading the cards imports no torch.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from models.network import Architecture, Style, StyleNetwork

FORMAT = "flowbrush-1"
BUNDLED = Path(__file__).parent / "weights" / "gallery.safetensors"
# Of a network: beyond these it is none for video, and its parameters would fill the memory.
WIDEST, MOST_BLOCKS, LARGEST_KERNEL = 512, 32, 31
LARGEST_FILE_BYTES, LARGEST_HEADER_BYTES = 512 * 2**20, 16 * 2**20
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class WeightsError(ValueError):
    """A style is not known, or a weight file is missing, damaged or of another kind."""


@dataclass(frozen=True, slots=True)
class StyleMetadata:
    """What is known of a style.

    Attributes:
        name: as in ``--style NAME``.
        painting: title of the painting.
        painter: who painted it.
        year: when, as text.
        status: the painting's legal status.
        source: where the picture of it came from.
        licence: of the weights.
        painting_px: short side at which the network saw the painting while it learned.
        weights: of the losses it was trained with, by name.
        figures: measured scores by name.
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

    @property
    def tag(self) -> dict[str, str]:
        """What the metadata of a video painted in it says."""
        return {"comment": f"painted by flowbrush in the style {self.name}"}


@dataclass(frozen=True, slots=True)
class Catalog:
    """A weight file without its tensors.

    Attributes:
        path: of the file.
        cards: by name, in the order of the file.
        recipe: how the weights were made.
    """

    path: Path
    cards: Mapping[str, StyleMetadata]
    recipe: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedStyle:
    """A network and the style that it is to paint in.

    Attributes:
        network: ready to run, float32, on the CPU.
        style: float32, on the CPU.
        card: what is known of the style.
    """

    network: "StyleNetwork"
    style: "Style"
    card: StyleMetadata


def read_catalog(path: Path = BUNDLED) -> Catalog:
    """Read the cards of a weight file; imports no torch.

    Raises:
        WeightsError: not a weight file of ours.
    """
    metadata = _metadata(path)
    try:
        known = {f.name for f in fields(StyleMetadata)}
        cards = [
            StyleMetadata(**{k: v for k, v in card.items() if k in known}) for card in json.loads(metadata["styles"])
        ]
        recipe = json.loads(metadata.get("recipe", "{}"))
        for card in cards:
            _check_card(card)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: its metadata is damaged ({error}); train or download the style again") from error
    if not cards:
        raise WeightsError(f"{path}: holds no style; train it again")
    return Catalog(path, {card.name: card for card in cards}, recipe)


def is_in_file(style: str) -> bool:
    """Whether ``style`` means one of a weight file of the user's, not a bundled one."""
    return style.endswith(".safetensors") or "/" in style or "\\" in style or ".safetensors#" in style


def find(style: str) -> tuple[Catalog, StyleMetadata]:
    """The weight file and the card for ``style``: a bundled style's name, a weight file's path, or ``FILE#NAME``.

    Raises:
        WeightsError: no such style (the message names those there are), or the file is not usable.
    """
    if is_in_file(style):
        return _find_in_file(style)
    catalog = read_catalog()
    if style in catalog.cards:
        return catalog, catalog.cards[style]
    near = difflib.get_close_matches(style, catalog.cards, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"bundled: {', '.join(catalog.cards)}"
    raise WeightsError(f"no style is named {style!r}; {hint} (a file of your own ends in .safetensors)")


def _find_in_file(style: str) -> tuple[Catalog, StyleMetadata]:
    path, mark, name = style.rpartition("#")
    if not mark or style.endswith(".safetensors"):  # a folder's name may hold the mark too
        path, name = style, ""
    catalog = read_catalog(Path(path))
    if not name and len(catalog.cards) == 1:
        return catalog, next(iter(catalog.cards.values()))
    if name in catalog.cards:
        return catalog, catalog.cards[name]
    reason = f"holds no style {name!r}" if name else f"holds {len(catalog.cards)} styles"
    raise WeightsError(f"{path}: {reason}; choose {' or '.join(f'{path}#{card}' for card in catalog.cards)}")


def load(style: str) -> LoadedStyle:
    """Load the network and the vectors of ``style``; see `find`.

    Raises:
        WeightsError: no such style, or its tensors are missing or of the wrong shape.
    """
    from safetensors import SafetensorError, safe_open

    from models.network import Style, StyleNetwork

    catalog, card = find(style)
    try:
        network = StyleNetwork(_architecture(catalog.path))
        with safe_open(str(catalog.path), framework="pt") as file:
            names = [key.removeprefix("network.") for key in file.keys() if key.startswith("network.")]  # noqa: SIM118
            network.load_state_dict({name: _floats(file, f"network.{name}") for name in names})
            of_style = {f.name: _floats(file, f"style.{card.name}.{f.name}") for f in fields(Style)}
    except (SafetensorError, OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"{catalog.path}: the weights cannot be used ({_first_line(error)})") from error
    loaded, expected = Style(**of_style), network.neutral_style()
    for name, got, wanted in zip(of_style, loaded.tensors(), expected.tensors(), strict=True):
        if got.shape != wanted.shape:
            raise WeightsError(f"{catalog.path}: {name} is {tuple(got.shape)}, should be {tuple(wanted.shape)}")
    if not all(tensor.isfinite().all() for tensor in (*network.state_dict().values(), *loaded.tensors())):
        raise WeightsError(f"{catalog.path}: holds weights that are not numbers; train the style again")
    return LoadedStyle(network.eval().requires_grad_(False), loaded, card)


def _floats(file: Any, name: str) -> "Tensor":
    tensor: Tensor = file.get_tensor(name)
    if not tensor.is_floating_point():
        raise TypeError(f"{name} is of {tensor.dtype}, should be float16")
    return tensor.float()


def _check_card(card: StyleMetadata) -> None:
    """Whether the fields are of the kind that they should be; a file can hold anything."""
    for name, value in asdict(card).items():
        if name in ("weights", "figures"):
            if not isinstance(value, dict) or not all(isinstance(each, int | float) for each in value.values()):
                raise TypeError(f"{name} must be numbers by name")
        elif not isinstance(value, int if name == "painting_px" else str):
            raise TypeError(f"{name} is {type(value).__name__}")
    if not card.name:
        raise ValueError("a style has no name")


def save(
    path: Path,
    network: "StyleNetwork",
    styles: Sequence["Style"],
    cards: Sequence[StyleMetadata],
    recipe: Mapping[str, Any],
) -> None:
    """Write a weight file in float16, whole or not at all.

    Raises:
        ValueError: as many cards as styles are not given.
        OSError: the file cannot be written.
    """
    import torch
    from safetensors.torch import save as serialise

    if len(styles) != len(cards):
        raise ValueError(f"{len(cards)} cards for {len(styles)} styles")
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for style, card in zip(styles, cards, strict=True):
        tensors |= {f"style.{card.name}.{f.name}": getattr(style, f.name) for f in fields(style)}
    half = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in tensors.items()}
    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(network.architecture)),
        "styles": json.dumps([asdict(card) for card in cards], ensure_ascii=False),
        "recipe": json.dumps(recipe, ensure_ascii=False),
    }
    write_whole(path, serialise(half, metadata=metadata))  # `save_file` hides it from other users, mode 600


def write_cards(path: Path, cards: Sequence[StyleMetadata]) -> None:
    """Replace the cards of a weight file, whole or not at all; its tensors stay as they are, byte for byte.

    Raises:
        WeightsError: not a weight file of ours, or the cards are of other styles than it holds.
        OSError: the file cannot be written.
    """
    names = list(read_catalog(path).cards)
    if sorted(card.name for card in cards) != sorted(names):
        raise WeightsError(f"{path}: holds {', '.join(names)}; the cards are of {', '.join(c.name for c in cards)}")
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"]["styles"] = json.dumps([asdict(card) for card in cards], ensure_ascii=False)
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned, as the format asks
    write_whole(path, len(text).to_bytes(8, "little") + text + content[end:])


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all; what was there stays until then.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _architecture(path: Path) -> "Architecture":
    from models.network import Architecture

    values = json.loads(_metadata(path)["architecture"])
    if not isinstance(values, dict):
        raise TypeError("architecture is no object")
    fields_: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    architecture = Architecture(**fields_)
    sizes = (max(architecture.widths), architecture.blocks, architecture.kernel)
    if any(size > most for size, most in zip(sizes, (WIDEST, MOST_BLOCKS, LARGEST_KERNEL), strict=True)):
        raise ValueError(
            f"a network of widths {architecture.widths}, {sizes[1]} blocks, kernel {sizes[2]} is too large"
        )
    return architecture


def _metadata(path: Path) -> Mapping[str, str]:
    """The header of a safetensors file: eight bytes of length, then JSON."""
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path}: is no file; give a weight file")
        with path.open("rb") as file:
            size = path.stat().st_size
            begin = file.read(8)
            if begin.startswith(PICKLES):
                reason = "a pickle of PyTorch, which can run code when it is loaded; styles are safetensors files alone"
                raise WeightsError(f"{path}: {reason}")
            length = int.from_bytes(begin, "little")
            if not 2 <= length <= min(size - 8, LARGEST_HEADER_BYTES) or size > LARGEST_FILE_BYTES:
                raise WeightsError(f"{path}: not a safetensors file; styles are trained with `flowbrush train`")
            header = json.loads(file.read(length))
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror}); `flowbrush styles` lists what is bundled"
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: not a safetensors file; styles are trained with `flowbrush train`") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    kind = metadata.get("format") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or kind != FORMAT:
        raise WeightsError(f"{path}: holds no flowbrush style (format {kind!r}, wanted {FORMAT!r})")
    return metadata


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
