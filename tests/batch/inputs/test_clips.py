"""Folders of strangers: links in circles end, pipes and devices are no clips and block nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.batch.config import BatchConfig
from pipeline.batch.inputs.clips import InputFile, find_clips
from pipeline.batch.inputs.jobs import make_jobs
from pipeline.batch.inputs.places import input_state
from pipeline.batch.session import plan
from pipeline.batch.watch import is_being_written
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.resume.fingerprint import content_hash
from tests.support.batching import make_clips, run

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="needs links and named pipes"), pytest.mark.timeout(15)]


def paths(found: list[InputFile], folder: Path) -> list[str]:
    return [os.path.relpath(file.path, folder) for file in found]


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """A folder whose two links lead back to it: 2^40 paths."""
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.mp4").touch()
    (folder / "sub" / "b.mp4").touch()
    for name in ("x", "y"):
        (folder / "sub" / name).symlink_to(folder)
    return folder


def test_a_pattern_ends_in_a_circle_of_links(circle: Path) -> None:
    lines: list[str] = []
    assert paths(find_clips([str(circle / "**" / "*.mp4")], notify=lines.append), circle) == ["a.mp4", "sub/b.mp4"]
    assert lines == []  # the links lead to what is found anyway
    assert paths(find_clips([str(circle / "**" / "sub" / "**" / "*.mp4")]), circle) == ["sub/b.mp4"]
    assert paths(find_clips([str(circle / "**")]), circle) == ["a.mp4", "sub/b.mp4"]


def test_a_link_to_another_folder_is_named_but_not_followed(circle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.mp4").touch()
    (circle / "sub" / "link").symlink_to(tmp_path / "elsewhere")
    lines: list[str] = []
    assert paths(find_clips([str(circle / "**" / "*.mp4")], notify=lines.append), circle) == ["a.mp4", "sub/b.mp4"]
    assert len(lines) == 1
    assert "sub/link is a link to a folder and is skipped" in lines[0]
    assert find_clips([str(circle / "sub" / "l*" / "*.mp4")], notify=lines.append) == []
    skipped = f"{circle / 'sub/link/c.mp4'} leads out of {circle / 'sub'} and is skipped"
    assert lines[1] == f"{skipped}; to include it, name the file itself"
    found = find_clips([str(circle / "sub" / "link" / "**" / "*.mp4")])
    assert paths(found, circle) == ["sub/link/c.mp4"]  # a pattern that names the link


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A folder with links to files in it and outside, one of which does not exist."""
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    for path in (folder / "a.mp4", folder / "sub" / "b.mp4", tmp_path / "secret.mp4"):
        path.touch()
    (folder / "c.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "d.mp4").symlink_to("sub/b.mp4")
    (folder / "sub" / "e.mp4").symlink_to("../../secret.mp4")
    (folder / "sub" / "f.mp4").symlink_to(tmp_path / "nowhere.mp4")
    return folder


@pytest.mark.parametrize("pattern", ["", "**/*.mp4", "**"])
def test_links_to_files_outside_are_not_followed(links: Path, pattern: str) -> None:
    lines: list[str] = []
    found = find_clips([str(links / pattern)], notify=lines.append)
    assert sorted(paths(found, links)) == ["a.mp4", "d.mp4"]  # which is sub/b.mp4
    assert len(lines) == 1
    assert lines[0].startswith(f"{links / 'c.mp4'} and ")
    assert lines[0].endswith(f"more links lead out of {links} and are skipped; to include one, name the file itself")
    assert paths(find_clips([str(links / "c.mp4")]), links) == ["c.mp4"]
    (links.parent / "clips-too").symlink_to(links)  # a link that the user names
    assert len(find_clips([str(links.parent / "clips-too")])) == 2


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A folder with a clip, a pipe, and a link to the pipe with the name of a clip."""
    folder = make_clips(tmp_path, "a.mp4")
    os.mkfifo(folder / "pipe")
    (folder / "b.mp4").symlink_to(folder / "pipe")
    return folder


def test_a_pipe_in_a_folder_is_no_clip(pipe: Path) -> None:
    assert paths(find_clips([str(pipe)]), pipe) == ["a.mp4"]
    assert paths(find_clips([str(pipe / "*")]), pipe) == ["a.mp4"]


def test_a_batch_is_not_blocked_by_a_pipe(pipe: Path) -> None:
    code, events = run(pipe, pipe / "b.mp4", "--output", pipe.parent / "out", "--dry-run")
    assert code == 0
    assert events[0]["clips"] == 2


@pytest.mark.parametrize("name", ["pipe", "b.mp4"])
def test_a_pipe_is_an_error_of_one_line(pipe: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is a pipe or a device.*standard input"):
        open_source(pipe / name)
    with pytest.raises(InputError, match="not a regular file"):
        content_hash(str(pipe / name))
    assert not is_being_written(str(pipe / name))


def test_an_image_sequence_is_one_clip(tmp_path: Path) -> None:
    (tmp_path / "shot").mkdir()
    for number in range(5, 8):
        Image.fromarray(np.full((32, 48, 3), 30 * number, np.uint8)).save(tmp_path / "shot" / f"{number:04}.png")
        Image.fromarray(np.full((32, 48, 3), 30 * number, np.uint8)).save(tmp_path / f"take_{number}.png")
    inputs = str(tmp_path / "shot" / "%04d.png"), str(tmp_path / "take_%d.png")
    config = BatchConfig(inputs=inputs, output=tmp_path / "out", styles=("great-wave",))
    planned = plan(config)
    assert [step.job.name for step in planned.steps] == ["shot_great-wave.mp4", "take_great-wave.mp4"]
    assert [step.clip.frames for step in planned.steps] == [3, 3]
    before = input_state(inputs[0])
    (tmp_path / "shot" / "0006.png").write_bytes(b"changed")
    assert None not in (before, input_state(inputs[0]))
    assert input_state(inputs[0]) != before


def test_a_batch_is_not_optimized(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "jobs.csv").write_text("input,style,method,painting\na.mp4,great-wave,optimize,a.jpg\n")
    with pytest.raises(ValueError, match="--method optimize takes minutes a frame and is not for a batch"):
        make_jobs(BatchConfig(inputs=(str(tmp_path / "jobs.csv"),), output=tmp_path / "out"))
