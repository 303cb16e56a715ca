"""The C++ network against the one in torch: sizes, controls, threads, and what becomes of the compiled code."""

import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

import models.native
from models.engines.build import build_engine
from models.engines.capabilities import can_compile, compiler
from models.engines.compile import compiled_graph, load_or_compile
from models.engines.engine import Engine, EngineError, EngineSpec, Precision
from models.engines.native import LIBRARY, NativeGraph, _compiles_bf16, flags, supports
from models.frame_graph import zero_statistics
from models.network import Architecture, Style, StyleNetwork
from models.registry import load
from tests.support.networks.compiling import shared_native_code

CPU = torch.device("cpu")
NETWORK = StyleNetwork(Architecture(widths=(16, 16, 32), blocks=2, kernel=5))
TOLERANCE = {"fp32": (1, 0.01), "bf16": (12, 1.2)}
"""Largest and mean difference from eager in fp32, in levels of 255."""

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the code is compiled once for all tests, and only once on this machine."""
    folder = tmp_path_factory.mktemp("cache")
    with shared_native_code(folder):
        yield folder


@pytest.fixture
def style() -> Style:
    torch.manual_seed(5)
    plain = NETWORK.initial_style()
    noise = 0.1 * torch.randn(plain.shift.shape)
    return replace(plain, scale=plain.scale + noise, shift=plain.shift - noise, bias=torch.tensor([0.3, -0.2, 0.1]))


@pytest.fixture(params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest, cache: Path) -> Precision:
    if not supports(spec_of(cache, 48, 64, precision=request.param)):
        pytest.skip("the processor or the compiler has no bf16 instructions")
    return cast(Precision, request.param)


def spec_of(
    cache: Path, height: int, width: int, network: StyleNetwork = NETWORK, precision: Precision = "fp32"
) -> EngineSpec:
    return EngineSpec(network=network, height=height, width=width, device=CPU, precision=precision, cache=cache)


def frame(height: int, width: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    """A frame without two like rows, columns or channels; a corner is black."""
    torch.manual_seed(height * width)
    small = torch.rand(1, 3, max(height // 6, 2), max(width // 6, 2))
    image = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0].permute(1, 2, 0)
    image[: height // 3, : width // 3] = 0
    return (image * (255 if dtype == torch.uint8 else 65535)).round().to(dtype).contiguous()


def run(
    engine: Engine, pixels: Tensor, style: Style, past: Tensor | None = None, *controls: float
) -> tuple[Tensor, Tensor]:
    past = zero_statistics(NETWORK) if past is None else past
    return engine(pixels, style, past, *(torch.tensor(value) for value in controls or (0.0, 1.0, 0.0)))


def assert_alike(spec: EngineSpec, pixels: Tensor, style: Style, past: Tensor | None = None, *controls: float) -> None:
    native, eager = build_engine("compile", spec), build_engine("eager", replace(spec, precision="fp32"))
    (ours, our_statistics), (theirs, statistics) = (
        run(each, pixels, style, past, *controls) for each in (native, eager)
    )
    levels = 1 if pixels.dtype == torch.uint8 else 257
    largest, mean = TOLERANCE[spec.precision]
    difference = (ours.int() - theirs.int()).abs()
    assert ours.dtype == pixels.dtype
    assert difference.max() <= largest * levels
    assert difference.float().mean() < mean * levels
    relative = 2e-3 if spec.precision == "fp32" else 3e-2
    assert torch.allclose(our_statistics, statistics, rtol=relative, atol=relative / 2)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (61, 103), (17, 40), (360, 12)])
def test_frames_of_every_size_agree_with_eager(
    cache: Path, style: Style, height: int, width: int, precision: Precision
) -> None:
    spec = spec_of(cache, height, width, precision=precision)
    assert isinstance(compiled_graph(spec), NativeGraph)
    assert_alike(spec, frame(height, width), style)


@pytest.mark.parametrize("widths", [(16, 32, 64), (32, 48, 80), (64, 16, 112)])
def test_networks_of_every_width_agree_with_eager(
    cache: Path, widths: tuple[int, int, int], precision: Precision
) -> None:
    torch.manual_seed(3)
    network = StyleNetwork(Architecture(widths=widths, blocks=1, kernel=3))
    pixels, style = frame(52, 76), network.initial_style()
    spec = spec_of(cache, 52, 76, network, precision)
    engines = load_or_compile(compiled_graph(spec)), build_engine("eager", replace(spec, precision="fp32"))
    controls = (zero_statistics(network), *(torch.tensor(value) for value in (0.0, 1.0, 0.0)))
    ours, theirs = (engine(pixels, style, *controls)[0].int() for engine in engines)
    assert (ours - theirs).abs().float().mean() < TOLERANCE[precision][1]


def test_bf16_is_as_exact_as_that_of_torch(cache: Path) -> None:
    """Though residual blocks are transformed, which makes rounding errors larger."""
    loaded = load("great-wave")
    spec = spec_of(cache, 120, 168, loaded.network, "bf16")
    if not supports(spec):
        pytest.skip("the processor or the compiler has no bf16 instructions")
    exact, theirs = (build_engine("eager", replace(spec, precision=each)) for each in ("fp32", "bf16"))
    past = zero_statistics(loaded.network)
    engines = exact, load_or_compile(NativeGraph(spec)), theirs
    expected, *others = (run(each, frame(120, 168), loaded.style, past)[0].int() for each in engines)
    our_error, their_error = ((each - expected).float().square().mean().sqrt() for each in others)
    assert our_error < 1.1 * their_error


def test_every_control_and_the_past_agree_with_eager(cache: Path, style: Style, precision: Precision) -> None:
    torch.manual_seed(2)
    past = zero_statistics(NETWORK) + torch.rand(zero_statistics(NETWORK).shape)
    assert_alike(spec_of(cache, 48, 64, precision=precision), frame(48, 64), style, past, 0.4, 0.7, 1.0)


def test_frames_of_16_bits_agree_with_eager(cache: Path, style: Style, precision: Precision) -> None:
    spec = replace(spec_of(cache, 48, 64, precision=precision), is_16_bit=True)
    assert_alike(spec, frame(48, 64, torch.uint16), style, None, 0.0, 0.8, 0.3)


@pytest.mark.parametrize("stroke_size", [0.7, 1.6])
def test_other_strokes_agree_with_eager(cache: Path, style: Style, stroke_size: float, precision: Precision) -> None:
    spec = replace(spec_of(cache, 60, 84, precision=precision), stroke_size=stroke_size)
    assert_alike(spec, frame(60, 84), style)


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="other processors have one width")
@pytest.mark.parametrize("narrower", ["-mno-avx512f", "-mno-avx"])
def test_vectors_of_every_width_agree_with_eager(
    cache: Path, style: Style, narrower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = flags()
    monkeypatch.setattr("models.engines.native.flags", lambda: (*wide, narrower))
    assert_alike(spec_of(cache, 61, 103), frame(61, 103), style)


def test_threads_that_share_a_frame_change_nothing(cache: Path, style: Style, precision: Precision) -> None:
    spec = spec_of(cache, 61, 103, precision=precision)
    one, three = (load_or_compile(NativeGraph(replace(spec, threads=count))) for count in (1, 3))
    alone, together = (run(engine, frame(61, 103), style)[0].int() for engine in (one, three))
    assert (alone - together).abs().max() <= TOLERANCE[precision][0]


def test_frames_side_by_side_do_not_mix(cache: Path, style: Style, precision: Precision) -> None:
    engine = load_or_compile(NativeGraph(spec_of(cache, 48, 64, precision=precision)))
    frames = [frame(48, 64), frame(48, 64).flip(0).contiguous(), 255 - frame(48, 64)]
    alone = [run(engine, pixels, style)[0] for pixels in frames]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda pixels: run(engine, pixels, style)[0], frames * 4))
    assert all(torch.equal(a, b) for a, b in zip(together, alone * 4, strict=True))


def test_another_style_is_used_at_once(cache: Path, style: Style) -> None:
    spec = spec_of(cache, 48, 64)
    native, eager = load_or_compile(NativeGraph(spec)), build_engine("eager", spec)
    other = style.lerp(NETWORK.initial_style(), 0.5)
    run(native, frame(48, 64), style)
    difference = run(native, frame(48, 64), other)[0].int() - run(eager, frame(48, 64), other)[0].int()
    assert difference.abs().max() <= TOLERANCE["fp32"][0]


def test_a_frame_of_another_size_is_refused(cache: Path, style: Style) -> None:
    engine = load_or_compile(NativeGraph(spec_of(cache, 48, 64)))
    for pixels in (frame(52, 64), frame(48, 64, torch.uint16)):
        with pytest.raises(ValueError, match="48x64"):
            run(engine, pixels, style)


def test_all_sizes_and_networks_share_the_code(cache: Path) -> None:
    other = StyleNetwork(Architecture(widths=(16, 32, 64)))
    folder = NativeGraph(spec_of(cache, 48, 64)).folder
    assert NativeGraph(spec_of(cache, 720, 1280, other)).folder == folder
    assert NativeGraph(spec_of(cache, 48, 64, precision="bf16")).folder != folder


def test_what_does_not_fit_is_left_to_torch(cache: Path) -> None:
    spec = spec_of(cache, 48, 64)
    assert supports(spec)
    assert not supports(replace(spec, precision="fp16"))
    assert not supports(replace(spec, network=StyleNetwork(Architecture(widths=(12, 32, 64)))))
    assert not supports(replace(spec, network=StyleNetwork(Architecture(widths=(16, 32, 2048)))))
    assert not supports(replace(spec, network=StyleNetwork(Architecture(kernel=17))))


@pytest.mark.parametrize(
    ("has_avx512_bf16", "has_amx", "capability", "compiles"),
    [
        (True, False, "AVX512", True),
        (False, False, "AVX512", True),
        (True, True, "AVX512", True),
        (True, False, "AVX2", True),
        (True, False, "AVX512", False),
    ],
)
def test_bf16_is_for_processors_with_avx512_bf16(
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_avx512_bf16: bool,
    has_amx: bool,
    capability: str,
    compiles: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("models.engines.native._compiles_bf16", lambda compiler, flags: compiles)
    expected = (has_avx512_bf16, has_amx, capability, compiles) == (True, False, "AVX512", True)
    assert supports(spec_of(cache, 48, 64, precision="bf16")) is expected


def test_the_compiler_says_whether_it_knows_bf16() -> None:
    found = str(compiler())
    assert not _compiles_bf16(found, ("-mno-avx512f",))
    assert not _compiles_bf16(found, ("--no-such-flag",))


def test_damaged_code_is_compiled_again(
    cache: Path, tmp_path: Path, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, graph = NativeGraph(spec_of(cache, 48, 64)), NativeGraph(spec_of(tmp_path, 48, 64))
    load_or_compile(compiled)
    monkeypatch.setattr("models.engines.native.keep_file", keep_nonsense)
    graph.compile()
    (graph.folder / LIBRARY).write_bytes(b"half a file")
    with pytest.raises(EngineError, match="damaged"):
        graph.load()
    monkeypatch.setattr("models.engines.native.keep_file", copying(compiled.folder))
    assert run(load_or_compile(graph), frame(48, 64), style)[0].shape == (48, 64, 3)


def keep_nonsense(path: Path, write: object, maker: str) -> None:
    path.write_bytes(b"a file")
    path.with_name("sha256").write_text("")


def copying(compiled: Path) -> Callable[[Path, object, str], None]:
    """Return what stands for the compiler: it copies what that has made before."""

    def keep_copy(path: Path, write: object, maker: str) -> None:
        shutil.copytree(compiled, path.parent, dirs_exist_ok=True)

    return keep_copy


def test_a_compiler_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.native.flags", lambda: ("--no-such-flag",))
    with pytest.raises(EngineError, match=r"failed \(.*use --engine eager"):
        load_or_compile(NativeGraph(spec_of(tmp_path, 48, 64)))


def test_torch_limits_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert "-mno-avx512f" in flags()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert "-mno-avx512f" not in flags()


def test_all_files_of_the_code_decide_its_place_in_the_cache() -> None:
    assert set(models.native.SOURCES) == {*Path(models.native.__file__).parent.glob("*.[ch]*")} - {
        path for path in Path(models.native.__file__).parent.iterdir() if path.suffix == ".pyc"
    }
