"""The manifest comes back as it was written, and names its folder."""

import errno
import json
import os
from array import array
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.resume.work_folder.durations import Durations
from pipeline.resume.work_folder.manifest import NAME, OLD_NAME, Manifest, ManifestError, read_manifest, work_dir_path
from pipeline.resume.work_folder.segment_record import Segment
from pipeline.system.files import atomic

ENGINE = {"engine": "eager", "precision": "fp32", "device": "cpu", "workers": 1, "strip_rows": None}


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    segments = [
        Segment(
            "00000000.mp4",
            7,
            array("q", (-3, 0, 33, 67, 100)),
            Durations((3, 33, 34, 33, None)),
            2,
            "ab",
            "cd",
            "12",
            "34",
        ),
        Segment("00000005.mp4", 8, array("q", (133,)), Durations((33,)), 0, "ab", "ef", "56"),
    ]
    manifest = Manifest(
        {"input": 1},
        ENGINE,
        Fraction(1, 1000),
        12.5,
        segments,
        damage=[{"stream": "video", "packet": 1, "seconds": None, "reason": "it is gone"}],
        is_complete=True,
        output_signature=(5, 6),
        styles=["ab", "cd"],
        split={"threads": 1, "sharers": 1, "starts": [], "extended": []},
        changes=[{"frame": 5, "engine": ENGINE | {"engine": "compile"}}],
    )
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest
    assert manifest.frames == 6
    assert manifest.finished_seconds == pytest.approx(0.169)
    assert os.listdir(tmp_path) == ["manifest.jsonl"]
    assert read_manifest(str(tmp_path / "nowhere")) is None


def test_the_format_of_another_version_is_an_error(tmp_path: Path) -> None:
    Manifest({}).write(str(tmp_path))
    path = tmp_path / NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}) + "\n")
    with pytest.raises(ManifestError, match="version"):
        read_manifest(str(tmp_path))


def test_the_file_of_an_earlier_version_is_an_error(tmp_path: Path) -> None:
    (tmp_path / OLD_NAME).write_text('{\n "format": 4,\n "segments": []}\n')
    with pytest.raises(ManifestError, match="version"):
        read_manifest(str(tmp_path))
    Manifest({}).write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == Manifest({})


def with_segments(count: int) -> Manifest:
    return Manifest({"input": "a"}, ENGINE, segments=[segment(number) for number in range(count)])


def segment(number: int) -> Segment:
    return Segment(f"{number:08}.mp4", 7, array("q", (number,)), Durations((1,)), 0, "ab", "cd", "12", "34")


def test_a_segment_costs_one_line_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, path = with_segments(1000), tmp_path / NAME
    manifest.write(str(tmp_path))
    before, number = path.read_bytes(), path.stat().st_ino
    monkeypatch.setattr(atomic, "replace_atomically", pytest.fail)
    manifest.segments.append(segment(1000))
    manifest.damage.append({"stream": "video", "packet": 1, "seconds": None, "reason": "it is gone"})
    manifest.is_complete = True
    manifest.write(str(tmp_path))
    assert path.read_bytes().startswith(before)
    assert path.stat().st_ino == number
    assert path.stat().st_size - len(before) < 600
    assert read_manifest(str(tmp_path)) == manifest


def test_what_is_taken_back_is_not_in_the_file(tmp_path: Path) -> None:
    manifest = with_segments(3)
    manifest.is_complete = True
    manifest.write(str(tmp_path))
    manifest.segments.pop()
    manifest.is_complete = False
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest
    manifest.segments[0] = replace(manifest.segments[0], sha256="56")
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest


@pytest.mark.parametrize("torn", ["begun", "half", "zeros", "zeros before the end", "zeros before a line"])
def test_torn_last_lines_are_ignored_and_go_with_the_next_write(tmp_path: Path, torn: str) -> None:
    manifest, path = with_segments(2), tmp_path / NAME
    manifest.write(str(tmp_path))
    whole = path.read_bytes()
    manifest.segments.append(segment(2))
    manifest.changes.append({"frame": 2, "engine": ENGINE})
    manifest.write(str(tmp_path))
    lines = path.read_bytes()[len(whole) :]
    first, half = lines.index(b"\n"), len(lines) // 2
    assert first < half
    left = {
        "begun": b"{",
        "half": lines[: first // 2],
        "zeros": bytes(len(lines)),
        "zeros before the end": bytes(half) + lines[half:],
        "zeros before a line": bytes(first) + lines[first:],
    }
    path.write_bytes(whole + left[torn])
    found = read_manifest(str(tmp_path))
    assert found == with_segments(2)
    found.segments.append(segment(2))
    found.changes.append({"frame": 2, "engine": ENGINE})
    found.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest


@pytest.mark.parametrize("what", ["removed", "cut", "longer", "a link"])
def test_a_file_that_was_changed_meanwhile_is_written_whole(tmp_path: Path, what: str) -> None:
    manifest, path = with_segments(2), tmp_path / NAME
    manifest.write(str(tmp_path))
    there = tmp_path / "elsewhere"
    if what in ("removed", "a link"):
        path.rename(there)
    if what == "a link":
        path.symlink_to(there)
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif what == "longer":
        path.write_bytes(path.read_bytes() + b"{}\n")
    kept = there.read_bytes() if there.exists() else b""
    manifest.segments.append(segment(2))
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest
    assert not path.is_symlink()
    assert (there.read_bytes() if there.exists() else b"") == kept


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, path = with_segments(2), tmp_path / NAME
    manifest.write(str(tmp_path))
    before, write = path.read_bytes(), os.write

    def write_half(descriptor: int, data: memoryview) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write_half)
    monkeypatch.setattr("pipeline.resume.work_folder.manifest.write_atomically", full)
    manifest.segments.append(segment(2))
    with pytest.raises(OSError, match="No space left"):
        manifest.write(str(tmp_path))
    assert path.read_bytes() == before
    monkeypatch.undo()
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest


@pytest.mark.parametrize("name", ["film.mp4", "n" * 250 + ".mp4", "é" * 125 + ".mp4", "a" * 245 + "b.mp4"])
def test_the_work_folder_is_beside_the_output_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = Path(work_dir_path(str(tmp_path / name)))
    assert folder.parent == tmp_path
    assert len(os.fsencode(folder.name)) <= 255
    assert folder.name.endswith(".flowbrush")
    assert folder != Path(work_dir_path(str(tmp_path / f"x{name[1:]}")))
    folder.mkdir()
