"""Weight files: written whole, read without torch where the cards suffice, refused in one line where damaged."""

import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.network import Architecture, StyleNetwork
from models.registry import StyleMetadata, WeightsError, bundled, find, load, read_catalog, to_bytes, with_styles
from models.weight_file import FORMAT

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)
CARDS = [
    StyleMetadata(
        "waves",
        "The Wave",
        "Somebody",
        "1831",
        "public domain",
        "",
        "Apache-2.0",
        400,
        {"style": 8.0},
        {"pan_style": 0.5},
    ),
    StyleMetadata("stars", painter="Van Gögh"),
]
RECIPE = {"settings": {"steps": 3}, "torch": "2"}


@pytest.fixture
def network() -> StyleNetwork:
    torch.manual_seed(0)
    return StyleNetwork(TINY)


@pytest.fixture
def weights(network: StyleNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    first, second = (network.initial_style() for _ in range(2))
    styles = [first, replace(second, convolutions=first.convolutions)]
    path.write_bytes(to_bytes(network, styles, CARDS, RECIPE))
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a safetensors file and leave its tensors as they are."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + length :])


def test_what_is_saved_is_loaded(network: StyleNetwork, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    style = network.initial_style()
    path.write_bytes(to_bytes(network, [style], CARDS[:1], RECIPE))
    loaded = load(str(path))
    assert loaded.metadata == CARDS[0]
    assert loaded.network.architecture == TINY
    for got, wanted in zip(loaded.style.tensors(), style.tensors(), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted, rtol=2**-11, atol=1e-7)
        assert not got.requires_grad


def test_cards_and_recipe_are_in_the_file(weights: Path) -> None:
    catalog = read_catalog(weights)
    assert list(catalog.styles.values()) == CARDS
    assert catalog.recipe == RECIPE


def test_cards_are_replaced_and_the_tensors_stay(weights: Path) -> None:
    before = load(f"{weights}#stars")
    measured = [replace(card, figures={"pan_style": 0.25}) for card in CARDS]
    weights.write_bytes(with_styles(weights, measured))
    assert list(read_catalog(weights).styles.values()) == measured
    assert read_catalog(weights).recipe == RECIPE
    after = load(f"{weights}#stars")
    assert all(torch.equal(a, b) for a, b in zip(before.style.tensors(), after.style.tensors(), strict=True))


def test_cards_of_other_styles_are_refused(weights: Path) -> None:
    content = weights.read_bytes()
    with pytest.raises(WeightsError, match=r"contains waves, stars.* waves$"):
        with_styles(weights, CARDS[:1])
    assert weights.read_bytes() == content


def test_one_of_several_styles_is_chosen_by_name(weights: Path) -> None:
    first, second = (card.name for card in CARDS)
    assert find(f"{weights}#{second}")[1] == CARDS[1]
    assert load(f"{weights}#{first}").metadata == CARDS[0]
    with pytest.raises(WeightsError, match=f"contains 2 styles; choose .*#{first} or .*#{second}$"):
        find(str(weights))
    with pytest.raises(WeightsError, match=f"contains no style 'lost'; choose .*#{first} or .*#{second}$"):
        find(f"{weights}#lost")


def test_fields_of_later_versions_are_passed_over(weights: Path) -> None:
    def add(header: dict[str, Any]) -> None:
        header["__metadata__"]["styles"] = json.dumps([{"name": "waves", "mood": "calm"}])

    rewrite(weights, add)
    assert read_catalog(weights).styles == {"waves": StyleMetadata("waves")}


def test_reading_cards_imports_no_torch() -> None:
    script = "import sys; from models.registry import bundled; bundled(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_an_unknown_style_is_told_its_nearest_names() -> None:
    name = next(iter(bundled()))
    with pytest.raises(WeightsError, match=f"did you mean {name}"):
        find(name[:-1])
    with pytest.raises(WeightsError, match=f"bundled: .*{name}"):
        find("0000")


def no_metadata(header: dict[str, Any]) -> None:
    del header["__metadata__"]


def other_format(header: dict[str, Any]) -> None:
    header["__metadata__"]["format"] = "pt"


def broken_cards(header: dict[str, Any]) -> None:
    header["__metadata__"]["styles"] = "[{"


def no_cards(header: dict[str, Any]) -> None:
    header["__metadata__"]["styles"] = "[]"


def nameless_card(header: dict[str, Any]) -> None:
    header["__metadata__"]["styles"] = '[{"painter": "Somebody"}]'


def cards_that_are_none(header: dict[str, Any]) -> None:
    header["__metadata__"]["styles"] = "[1, 2]"


def architecture_that_is_none(header: dict[str, Any]) -> None:
    header["__metadata__"]["architecture"] = "[3]"


def wrong_architecture(header: dict[str, Any]) -> None:
    header["__metadata__"]["architecture"] = '{"widths": [8, 8, 8], "blocks": 1, "kernel": 3}'


def missing_network_tensor(header: dict[str, Any]) -> None:
    header["renamed"] = header.pop("network.encode.0.weight")


def missing_style_tensor(header: dict[str, Any]) -> None:
    header["renamed"] = header.pop("style.waves.shift")


def wrong_shape(header: dict[str, Any]) -> None:
    shape = header["style.waves.weight"]["shape"]
    header["style.waves.weight"]["shape"] = [shape[1], shape[0], *shape[2:]]


@pytest.mark.parametrize(
    "change",
    [
        no_metadata,
        other_format,
        broken_cards,
        no_cards,
        nameless_card,
        cards_that_are_none,
        architecture_that_is_none,
        wrong_architecture,
        missing_network_tensor,
        missing_style_tensor,
        wrong_shape,
    ],
)
def test_damage_in_the_header_is_one_line(weights: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rewrite(weights, change)
    refused(weights)


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load(f"{path}#{CARDS[0].name}" if path.suffix == ".safetensors" else str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"no weights at all, only a text of some length",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 22) + b'{"__metadata__": "no"}',
        struct.pack("<Q", 4) + b"\xff\xfe\xff\xfe",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_files_cut_short_are_refused(weights: Path, share: float) -> None:
    data = weights.read_bytes()
    weights.write_bytes(data[: int(share * len(data))])
    refused(weights)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "flowbrush styles" in refused(tmp_path / "missing.safetensors")
    refused(tmp_path)


def test_weights_that_are_not_numbers_are_refused(network: StyleNetwork, tmp_path: Path) -> None:
    style = network.initial_style()
    style.shift[3] = math.nan
    (tmp_path / "nan.safetensors").write_bytes(to_bytes(network, [style], CARDS[:1], {}))
    assert "not finite" in refused(tmp_path / "nan.safetensors")


def test_a_card_for_each_style(network: StyleNetwork) -> None:
    with pytest.raises(ValueError, match="2 styles for 1 styles"):
        to_bytes(network, [network.initial_style()], CARDS, {})


def test_the_styles_of_a_file_share_their_convolutions(network: StyleNetwork) -> None:
    with pytest.raises(ValueError, match=f"{CARDS[1].name} has others"):
        to_bytes(network, [network.initial_style(), network.initial_style()], CARDS, {})


def test_the_bundle_is_small_and_says_where_it_comes_from() -> None:
    found = bundled()
    assert sum(path.stat().st_size for path in {catalog.path for catalog in found.values()}) < 12_000_000
    assert len(found) >= 10
    for name, catalog in found.items():
        card = catalog.styles[name]
        assert all((card.painting, card.painter, card.year, card.status, card.licence, card.painting_px)), card
        assert card.source
        assert {"style", "content", "variation", "output", "feature"} <= set(card.weights)
        assert card.figures
        assert all(math.isfinite(value) for value in card.figures.values())
        assert {"settings", "start", "paintings", "content", "loss_networks"} <= set(catalog.recipe)
        assert name in catalog.recipe["paintings"]


def test_the_bundle_is_all_files_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = StyleNetwork(TINY)
    for file, name in (("a", "sea"), ("b", "hay")):
        content = to_bytes(network, [network.initial_style()], [StyleMetadata(name)], {})
        (tmp_path / f"{file}.safetensors").write_bytes(content)
    monkeypatch.setattr("models.registry.BUNDLED", tmp_path)
    assert [(name, catalog.path.name) for name, catalog in bundled().items()] == [
        ("hay", "b.safetensors"),
        ("sea", "a.safetensors"),
    ]
    assert load("hay").network == network
    monkeypatch.setattr("models.registry.BUNDLED", tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="contains no styles"):
        find("hay")


def test_bundled_styles_stylize_and_blend() -> None:
    loaded_styles = [load(name) for name in bundled()]
    network = loaded_styles[0].network
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 8), size=(48, 64), mode="bicubic").clamp(0, 1)
    blend = loaded_styles[0].style.lerp(loaded_styles[1].style, 0.5)
    styles = [loaded_styles[0].style, loaded_styles[1].style, blend]
    with torch.no_grad():
        first, second, between = (network(picture, style)[0] for style in styles)
    for stylized in (first, second, between):
        assert stylized.isfinite().all()
        assert stylized.std() > 0.02
    assert (first - second).abs().mean() > 0.02
    assert (first - between).abs().mean() < (first - second).abs().mean()


def test_the_format_is_what_the_files_say() -> None:
    assert FORMAT == "flowbrush-1"
