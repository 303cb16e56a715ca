"""The speed of this machine: measured with the command's own code, kept for `flowbrush doctor`."""

import json
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pipeline.console import benchmark
from pipeline.console.benchmark import Measurement, describe, measure, rate, store, stored
from pipeline.console.config import BenchmarkConfig
from pipeline.console.doctor import cpu_class, examine
from tests.support.commands import run

SIZES = {48: Fraction(1, 5), 64: Fraction(1, 10)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small frames, and a cache of the test's own."""
    monkeypatch.setattr(benchmark, "SECONDS", SIZES)
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))


def measurement(engine: str, height: int, fps: float) -> Measurement:
    return Measurement(engine, "fp32", "cpu", 2 * height, height, fps, 1.0)


def test_each_size_is_measured_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps: list[tuple[int, int]] = []
    measured = list(measure(BenchmarkConfig(engine="eager", device="cpu"), lambda *step: steps.append(step)))
    assert [(each.engine, each.height) for each in measured] == [("eager", 48), ("eager", 64)]
    assert steps == [(1, 2), (2, 2)]
    assert all(each.fps > 0 and each.first_frame_seconds > 0 for each in measured)
    assert not list(tmp_path.glob("flowbrush-*"))


def test_the_default_measures_what_need_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.capabilities.native_precision", lambda device: "bf16")
    engines = benchmark.engines_to_measure(BenchmarkConfig(device="cpu"))
    assert "eager" in engines
    assert "compile" not in engines
    assert benchmark.engines_to_measure(BenchmarkConfig(device="cpu", engine="compile")) == ["compile"]


def test_the_rate_leaves_out_the_frames_that_come_at_once() -> None:
    steady = [(number + 1, 10.0 + 0.1 * number) for number in range(12)]
    assert rate(steady) == pytest.approx(10)
    burst = [(number + 1, 10.0 + 0.2 * (number // 2)) for number in range(12)]
    assert rate(burst) == pytest.approx(10, rel=0.2)


def test_the_result_is_kept_for_doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert stored() == []
    assert next(finding for finding in examine() if finding.name == "speed").remedy.startswith("flowbrush benchmark")
    found = [measurement("eager", 360, 12.4), measurement("eager", 720, 2.0)]
    found += [measurement("openvino", 360, 12.3), measurement("openvino", 720, 3.0)]
    store(found)
    assert stored() == found
    assert describe(found) == "360p 12.3 fps, 720p 3 fps (openvino, fp32)"
    finding = next(finding for finding in examine() if finding.name == "speed")
    assert (finding.works, finding.detail) == (True, describe(found))
    monkeypatch.setattr(benchmark, "own_version", lambda: "another")
    assert stored() == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": null}', b"{", b'{"version": "V", "measurements": [{}]}'])
def test_a_damaged_result_is_none(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "own_version", lambda: "V")
    store([])
    (tmp_path / "cache" / benchmark.RESULT).write_bytes(content)
    assert stored() == []


@pytest.mark.parametrize(
    ("machine", "capabilities", "limit", "expected"),
    [
        ("x86_64", {"avx2": True}, "AVX2", "AVX2"),
        ("x86_64", {"avx2": True, "avx_vnni": True}, "AVX2", "AVX-VNNI"),
        ("x86_64", {"avx2": True, "avx512_f": True}, "AVX512", "AVX512"),
        ("x86_64", {"avx2": True, "avx512_f": True, "avx512_bf16": True}, "AVX512", "AVX512-BF16"),
        ("x86_64", {"avx2": True, "avx512_f": True, "avx512_bf16": True}, "AVX2", "AVX2"),
        ("x86_64", {"avx2": True, "avx512_bf16": True, "amx_tile": True}, "AVX512", "AMX"),
        ("aarch64", {"bf16": True}, "DEFAULT", "ARM NEON and bf16"),
        ("arm64", {}, "DEFAULT", "ARM NEON"),
        ("riscv64", {}, "DEFAULT", "DEFAULT"),
    ],
)
def test_the_class_of_the_processor(
    machine: str, capabilities: dict[str, Any], limit: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: MappingProxyType(capabilities), raising=False)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: limit)
    assert cpu_class().endswith(f"threads, {expected}")


def test_in_float32_the_compiled_network_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.capabilities.native_precision", lambda device: "fp32")
    monkeypatch.setattr("models.engines.capabilities.can_compile", lambda device: True)
    assert "compile" in benchmark.engines_to_measure(BenchmarkConfig(device="cpu"))


def test_the_command_prints_a_table_or_json() -> None:
    code, output, _ = run("benchmark", "--engine", "eager", "--device", "cpu", "--quiet")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == f"cpu: {cpu_class()}"
    rows = [line.split() for line in lines[2:4]]
    assert [(row[0], row[2]) for row in rows] == [("eager", "85x48"), ("eager", "114x64")]
    result: dict[str, Any] = json.loads(run("benchmark", "--engine", "eager", "--device", "cpu", "--json")[1])
    assert [each["height"] for each in result["measurements"]] == [48, 64]
    assert result["cpu"] == cpu_class()


def test_an_engine_that_is_not_there_is_one_line() -> None:
    code, _, error = run("benchmark", "--engine", "openvino", "--device", "mps")
    assert code
    assert error.count("\n") == 1
