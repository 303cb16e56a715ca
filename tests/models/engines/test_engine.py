"""The engines against the network itself, on tiny images."""

import importlib.util
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.engines.build import build_engine
from models.engines.capabilities import available_engines, can_compile, compiler, native_precision
from models.engines.engine import Engine, EngineError, EngineName, EngineSpec, Precision
from models.frame_graph import FrameGraph, zero_statistics
from models.network import Architecture, Style, StyleNetwork
from models.registry import bundled, load

CPU = torch.device("cpu")
TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)
FULL, HALF, NONE = torch.ones(()), torch.full((), 0.5), torch.zeros(())


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network() -> StyleNetwork:
    torch.manual_seed(3)
    return StyleNetwork(TINY)


@pytest.fixture
def style(network: StyleNetwork) -> Style:
    start = network.initial_style()
    scale = 1 + 0.2 * torch.randn_like(start.scale)
    return replace(start, scale=scale, shift=start.shift + 0.1, bias=start.bias - 0.2)


def scenery(height: int = 37, width: int = 50) -> Tensor:
    """``(H, W, 3)`` uint8: a sky that grows paler, hills with an edge, some texture; no two channels alike."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    sky = torch.stack((0.3 + 0.5 * rows, 0.5 + 0.4 * rows, 0.95 - 0.2 * columns), dim=2)
    texture = 0.15 * torch.sin(40 * columns + 25 * rows * rows)[..., None]
    hills = torch.stack((0.2 + 0.3 * columns, 0.45 - 0.2 * rows, 0.15 + 0.1 * columns), dim=2) + texture
    hill = (rows > 0.55 + 0.2 * torch.sin(7 * columns))[..., None]
    return (torch.where(hill, hills, sky).clamp(0, 1) * 255).round().to(torch.uint8)


def spec(network: StyleNetwork, cache: Path, size: tuple[int, int] = (37, 50), **changes: Any) -> EngineSpec:
    settings = {"device": CPU, "precision": "fp32", "cache": cache} | changes
    return EngineSpec(network=network, height=size[0], width=size[1], **settings)


def build(name: EngineName, network: StyleNetwork, cache: Path, **settings: Any) -> Engine:
    return build_engine(name, spec(network, cache, **settings))


def controls(network: StyleNetwork, *, strength: Tensor = FULL, keep_colors: Tensor = NONE) -> tuple[Tensor, ...]:
    """What an engine is called with after pixels and style, for a first frame."""
    return zero_statistics(network), NONE, strength, keep_colors


def mean_difference(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().mean())


def test_eager_is_the_network(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    run = build("eager", network, tmp_path)
    stylized, used = run(scenery(), style, *controls(network))
    expected, statistics = FrameGraph(network)(scenery(), style.tensors(), *controls(network))
    assert stylized.shape == (37, 50, 3)
    assert stylized.dtype == torch.uint8
    assert stylized.is_contiguous()
    assert (stylized.int() - expected.int()).abs().max() <= 1
    torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)


def test_the_frame_graph_runs_the_network(network: StyleNetwork, style: Style) -> None:
    stylized, used = FrameGraph(network)(scenery(), style.tensors(), *controls(network))
    expected, statistics = network(scenery().permute(2, 0, 1)[None].float() / 255, style)
    assert torch.equal(stylized, (expected[0].permute(1, 2, 0) * 255).round().to(torch.uint8))
    assert torch.equal(used[..., :-1], statistics)


def test_an_engine_leaves_the_style_as_it_is_and_runs_any_other(
    network: StyleNetwork, style: Style, tmp_path: Path
) -> None:
    before = [tensor.clone() for tensor in style.tensors()]
    run = build("eager", network, tmp_path, precision="bf16")
    other = network.initial_style()
    first, second, again = (run(scenery(), each, *controls(network))[0] for each in (style, other, style))
    assert torch.equal(first, again)
    assert mean_difference(first, second) > 1
    assert all(map(torch.equal, before, style.tensors()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_strength_zero_is_the_picture_bit_for_bit(
    network: StyleNetwork, style: Style, tmp_path: Path, precision: Precision
) -> None:
    every_level = torch.arange(256, dtype=torch.uint8).view(16, 16, 1).repeat(1, 1, 3)
    run = build("eager", network, tmp_path, precision=precision, size=(16, 16))
    assert torch.equal(run(every_level, style, *controls(network, strength=NONE))[0], every_level)


def test_half_strength_is_half_way(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    run = build("eager", network, tmp_path)
    full, _ = run(scenery(), style, *controls(network))
    half, _ = run(scenery(), style, *controls(network, strength=HALF))
    assert (half.float() - (full.float() + scenery().float()) / 2).abs().max() <= 1


def test_the_past_reaches_the_network(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    run = build("eager", network, tmp_path)
    _, of_dark = run(scenery() // 4, style, *controls(network))
    kept, used = run(scenery(), style, of_dark, FULL, FULL, NONE)
    alone, _ = run(scenery(), style, *controls(network))
    assert torch.equal(used, of_dark)
    assert mean_difference(kept, alone) > 1


@pytest.mark.parametrize("name", bundled())
def test_bf16_is_close_to_fp32(name: str, tmp_path: Path) -> None:
    loaded = load(name)
    stylized = [
        build("eager", loaded.network, tmp_path, precision=precision, size=(120, 160))(
            scenery(120, 160), loaded.style, *controls(loaded.network)
        )[0]
        for precision in ("fp32", "bf16")
    ]
    assert mean_difference(*stylized) < 2
    assert stylized[0].float().std() > 10


def without_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every compiler of the machine."""
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)


def with_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file that can be executed pass for a compiler, and for Python's headers."""
    for name in ("c++", "Python.h"):
        (folder / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder))


def test_engines_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"openvino": True}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if found.get(name) else None)
    without_compiler(tmp_path, monkeypatch)
    assert compiler() is None
    assert available_engines(CPU) == ["openvino", "eager"]
    with_compiler(tmp_path, monkeypatch)
    assert available_engines(CPU) == ["compile", "openvino", "eager"]
    (tmp_path / "Python.h").unlink()
    found["openvino"] = False
    assert available_engines(CPU) == ["eager"]
    assert available_engines(torch.device("mps")) == ["eager"]
    assert available_engines(torch.device("cuda")) == ["eager"]
    found["triton"] = True
    assert available_engines(torch.device("cuda")) == ["compile", "eager"]


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_the_precision_of_this_machine(
    machine: str, has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native_precision(torch.device("mps")) == "fp16"
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_bf16)
    assert native_precision(CPU) == expected


def test_compile_needs_a_compiler(network: StyleNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_compiler(tmp_path, monkeypatch)
    with pytest.raises(EngineError, match=r"C\+\+ compiler .* --engine eager"):
        build("compile", network, tmp_path)


def test_openvino_must_be_installed(network: StyleNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'flowbrush\[cpu\]'"):
        build("openvino", network, tmp_path)


def test_openvino_tells_nobody_that_it_runs(tmp_path: Path) -> None:
    """Its import and each conversion used to start processes that send events to a server."""
    if importlib.util.find_spec("openvino_telemetry") is None:
        pytest.skip("OpenVINO is not installed, or has no telemetry")
    code = """
import sys
import torch
from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.network import StyleNetwork
from pathlib import Path
build_engine("openvino", EngineSpec(network=StyleNetwork(), height=16, width=16, device=torch.device("cpu"),
                                    precision="fp32", cache=Path(sys.argv[1])))
print([name for name in sys.modules if name.startswith("openvino_telemetry")], "openvino" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


def test_openvino_is_for_the_cpu(network: StyleNetwork, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="on cuda"):
        build("openvino", network, tmp_path, device=torch.device("cuda"))


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
def test_compile_agrees_with_eager(
    network: StyleNetwork, style: Style, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    arguments = (scenery(), style, *controls(network))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of torch's own compiler
        stylized, used = build("compile", network, tmp_path)(*arguments)
    expected, statistics = build("eager", network, tmp_path)(*arguments)
    assert (stylized.int() - expected.int()).abs().max() <= 1
    torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests share, since conversion takes seconds."""
    return tmp_path_factory.mktemp("cache")


def test_openvino_agrees_with_eager(network: StyleNetwork, style: Style, converted: Path) -> None:
    pytest.importorskip("openvino")
    run = build("openvino", network, converted)
    eager = build("eager", network, converted)
    _, past = eager(scenery() // 2, style, *controls(network))
    other = style.lerp(network.initial_style(), 0.7)
    for arguments in (
        (scenery(), style, *controls(network)),
        (scenery().flip(0), other, *controls(network)),
        (scenery(), style, past, HALF, HALF, HALF),
    ):
        stylized, used = run(*arguments)
        expected, statistics = eager(*arguments)
        assert (stylized.int() - expected.int()).abs().max() <= 1
        torch.testing.assert_close(used, statistics, rtol=1e-3, atol=1e-3)
    assert torch.equal(run(scenery(), style, *controls(network, strength=NONE))[0], scenery())


def test_openvino_converts_once(
    network: StyleNetwork, style: Style, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    arguments = (scenery(), style, *controls(network))
    first, _ = build("openvino", network, converted)(*arguments)
    monkeypatch.setattr(openvino, "convert_model", None)
    again, _ = build("openvino", network, converted)(*arguments)
    assert torch.equal(first, again)
    with pytest.raises(TypeError):  # another network is another model
        build("openvino", StyleNetwork(replace(TINY, blocks=2)), converted)


def test_a_fade_to_black_ends_in_black(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    run = build("eager", network, tmp_path)
    for level in (0, 16, 255):
        flat = torch.full((37, 50, 3), level, dtype=torch.uint8)
        assert torch.equal(run(flat, style, *controls(network))[0], flat)
    torch.manual_seed(0)
    noise = torch.randint(0, 3, (37, 50, 3), dtype=torch.uint8)
    assert mean_difference(run(noise, style, *controls(network))[0], noise) < 0.5

    scene = scenery()
    changes = []
    for share in (1.0, 0.5, 0.15, 0.08, 0.02):
        faded = (scene.float() * share).round().to(torch.uint8)
        changes.append(mean_difference(run(faded, style, *controls(network))[0], faded))
    assert min(changes[:2]) > 20
    assert changes[2] > changes[3] > changes[4]
    assert changes[4] < 0.5


def test_letterbox_bars_stay_black_and_the_image_is_stylized(
    network: StyleNetwork, style: Style, tmp_path: Path
) -> None:
    run = build("eager", network, tmp_path, size=(96, 64))
    framed = torch.zeros(96, 64, 3, dtype=torch.uint8)
    framed[32:64] = torch.randint(60, 256, (32, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    stylized, _ = run(framed, style, *controls(network))
    assert int(stylized[:24].max()) == 0
    assert int(stylized[72:].max()) == 0
    assert mean_difference(stylized[36:60], framed[36:60]) > 20


def test_contrast_can_come_from_elsewhere_as_all_statistics(
    network: StyleNetwork, style: Style, tmp_path: Path
) -> None:
    run = build("eager", network, tmp_path)
    _, of_scene = run(scenery(), style, *controls(network))
    flat = torch.full((37, 50, 3), 90, dtype=torch.uint8)
    assert mean_difference(run(flat, style, of_scene, FULL, FULL, NONE)[0], flat) > 5


def test_kept_colors_differ_from_the_picture_by_light_alone(
    network: StyleNetwork, style: Style, tmp_path: Path
) -> None:
    run = build("eager", network, tmp_path)
    stylized, toned, half = (
        run(scenery(), style, *controls(network, keep_colors=share))[0].float() for share in (NONE, FULL, HALF)
    )
    change = toned - scenery().float()
    whole = ((toned > 0) & (toned < 255)).all(dim=2)
    assert whole.float().mean() > 0.3
    assert (change.amax(dim=2) - change.amin(dim=2))[whole].max() <= 1, "the three channels must move alike"
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    assert ((toned - stylized) @ weights)[whole].abs().max() <= 1, "the luminance is not that of the stylized image"
    assert (half - (stylized + toned) / 2).abs().max() <= 1
    assert mean_difference(stylized, toned) > 5


def test_larger_strokes_are_those_of_a_smaller_picture(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    picture = scenery(36, 52)
    halves = picture.permute(2, 0, 1)[None].float() / 255
    expected, of_half = network(torch.nn.functional.avg_pool2d(halves, 2), style)
    run = build("eager", network, tmp_path, size=(36, 52), stroke_size=2.0)
    stylized, used = run(picture, style, *controls(network))
    torch.testing.assert_close(used[..., :-1], of_half, rtol=0.03, atol=0.02)  # the smaller picture is rounded
    again = torch.nn.functional.avg_pool2d(stylized.permute(2, 0, 1)[None].float() / 255, 2)
    assert (again - expected).abs().mean() < 0.03


def test_large_strokes_keep_fine_edges_of_the_frame(network: StyleNetwork, style: Style, tmp_path: Path) -> None:
    light, dark = 130, 110
    stripes = torch.full((40, 48, 3), light, dtype=torch.uint8)
    stripes[:20] = 200  # some contrast
    stripes[:, ::2] -= light - dark  # nothing is left of them in a picture of half the size
    run = build("eager", network, tmp_path, size=(40, 48), stroke_size=2.0)
    stylized, _ = run(stripes, style, *controls(network))
    luma = stylized.float() @ torch.tensor([0.2126, 0.7152, 0.0722])
    contrast = (luma[:, 1::2] - luma[:, ::2])[24:36, 4:-4]
    assert (light - dark) * 0.8 < float(contrast.median()) < (light - dark) * 1.2


@pytest.mark.parametrize("stroke_size", [0.25, 0.7, 1.3, 4.0])
def test_strokes_of_any_size_on_a_picture_of_any_size(
    network: StyleNetwork, style: Style, tmp_path: Path, stroke_size: float
) -> None:
    for height, width in ((37, 51), (16, 90), (1, 3)):
        picture = scenery(height, width)
        run = build("eager", network, tmp_path, size=(height, width), stroke_size=stroke_size)
        assert run(picture, style, *controls(network))[0].shape == picture.shape
        assert torch.equal(run(picture, style, zero_statistics(network), NONE, NONE, FULL)[0], picture)


def test_openvino_honours_every_control(network: StyleNetwork, style: Style, converted: Path) -> None:
    pytest.importorskip("openvino")
    openvino, eager = (build(name, network, converted, stroke_size=1.6) for name in ("openvino", "eager"))
    for controls in ((FULL, NONE), (FULL, FULL), (HALF, HALF)):
        stylized, used = openvino(scenery(), style, zero_statistics(network), NONE, *controls)
        expected, statistics = eager(scenery(), style, zero_statistics(network), NONE, *controls)
        assert (stylized.int() - expected.int()).abs().max() <= 1
        torch.testing.assert_close(used, statistics, rtol=1e-3, atol=1e-3)
