"""A render goes on with the code that stylized its finished frames, or is refused: other code rounds otherwise."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models.engines.build
from models.engines.capabilities import can_compile, compiler
from pipeline.errors import DeviceError
from pipeline.resume.work_folder.manifest import Manifest, read_manifest, work_dir_path
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import FLOW, config, edit_manifest, interrupt_at


def manifest_of(target: Path) -> Manifest:
    manifest = read_manifest(work_dir_path(str(target)))
    assert manifest is not None
    return manifest


def pretend(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    monkeypatch.setattr(models.engines.build, "instructions", lambda: instructions)


@pytest.fixture(scope="module")
def whole(clip: Path) -> bytes:
    """The output of a run that was not interrupted."""
    target = clip.with_name("whole-of-code.mp4")
    stylize_video(config(clip, target))
    return target.read_bytes()


def test_a_render_is_not_resumed_with_other_instructions(
    tmp_path: Path, clip: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    pretend(monkeypatch, "AVX512 bf16")
    interrupt_at(20, clip, target)
    before = manifest_of(target)
    assert before.engine["code"] == "AVX512 bf16"
    pretend(monkeypatch, "AVX2")
    with pytest.raises(DeviceError, match=r"cpu by AVX512 bf16.*would use .* by AVX2.*--fresh"):
        stylize_video(config(clip, target))
    assert manifest_of(target) == before
    pretend(monkeypatch, "AVX512 bf16")
    assert stylize_video(config(clip, target)).frames_reused == 16
    assert target.read_bytes() == whole


def test_a_manifest_without_the_code_is_resumed_and_records_it_from_there_on(
    tmp_path: Path, clip: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    interrupt_at(12, clip, target)
    edit_manifest(target, lambda data: data["engine"].pop("code"))
    pretend(monkeypatch, "AVX2")
    interrupt_at(28, clip, target)
    found = manifest_of(target)
    assert "code" not in found.engine
    assert found.changes == [{"frame": 8, "engine": found.engine | {"code": "AVX2"}}]
    assert found.frames == 24
    pretend(monkeypatch, "AVX512")
    with pytest.raises(DeviceError, match=r"by AVX2.*by AVX512"):
        stylize_video(config(clip, target))
    pretend(monkeypatch, "AVX2")
    assert stylize_video(config(clip, target)).frames_reused == 24
    assert target.read_bytes() == whole


def test_where_the_code_is_unknown_later_the_render_is_resumed(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system that does not say what its instructions are."""
    target = tmp_path / "out.mp4"
    interrupt_at(20, clip, target)
    pretend(monkeypatch, "")
    assert stylize_video(config(clip, target)).frames_reused == 16


@pytest.mark.timeout(600)
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_a_render_is_not_resumed_with_what_another_compiler_made(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that the first one made is still used, and made again with the same hash if it is lost."""
    stylize, target = replace(FLOW, engine="compile"), tmp_path / "out.mp4"
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    interrupt_at(12, clip, target, stylize=stylize)
    code = manifest_of(target).engine["code"]
    assert code.startswith("C++ ")
    native, first = compiler(), tmp_path / "cache" / "native"
    other = tmp_path / "c++"
    other.write_text(f"""#!/bin/sh
[ "$1" = --version ] && echo another 1.0 && exit
exec {native} "$@" -fno-tree-vectorize
""")
    other.chmod(0o700)
    monkeypatch.setenv("CXX", str(other))
    with pytest.raises(DeviceError, match=r"by C\+\+ .* would use .* by C\+\+ [0-9a-f]{12} of another 1\.0, .*--fresh"):
        stylize_video(config(clip, target, stylize=stylize))
    monkeypatch.delenv("CXX")
    shutil.rmtree(first)
    interrupt_at(20, clip, target, stylize=stylize)
    assert manifest_of(target).engine["code"] == code
    assert len(os.listdir(first)) == 1
    assert stylize_video(config(clip, target, stylize=stylize)).frames_reused == 16
