"""The manifest comes back as it was written, and names its folder."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.resume.manifest import Manifest, ManifestError, Segment, read_manifest, work_dir_path

ENGINE = {"engine": "eager", "precision": "fp32", "device": "cpu", "workers": 1, "strip_rows": None}


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    segments = [
        Segment("00000000.mp4", 7, (-3, 0, 33, 67, 100), (3, 33, 34, 33, None), 2, "ab", "cd", "12", "34"),
        Segment("00000005.mp4", 8, (133,), (33,), 0, "ab", "ef", "56"),
    ]
    manifest = Manifest({"input": 1}, ENGINE, Fraction(1, 1000), 12.5, segments, output_signature=(5, 6))
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest
    assert manifest.frames == 6
    assert manifest.finished_seconds == pytest.approx(0.169)
    assert os.listdir(tmp_path) == ["manifest.json"]
    assert read_manifest(str(tmp_path / "nowhere")) is None


def test_the_format_of_another_version_is_an_error(tmp_path: Path) -> None:
    Manifest({}).write(str(tmp_path))
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    with pytest.raises(ManifestError, match="version"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize("name", ["film.mp4", "n" * 250 + ".mp4", "é" * 125 + ".mp4", "a" * 245 + "b.mp4"])
def test_the_work_folder_is_beside_the_output_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = Path(work_dir_path(str(tmp_path / name)))
    assert folder.parent == tmp_path
    assert len(os.fsencode(folder.name)) <= 255
    assert folder.name.endswith(".flowbrush")
    assert folder != Path(work_dir_path(str(tmp_path / f"x{name[1:]}")))
    folder.mkdir()
