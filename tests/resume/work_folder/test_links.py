"""A work folder that others have prepared: no link in it is followed, and nothing outside is written or deleted."""

import os
from pathlib import Path

import pytest

from pipeline.config import EncodeConfig
from pipeline.errors import OutputError, PipelineError
from pipeline.resume.work_folder.work_dir import clear_remains, describe_partial_output, used_bytes
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import UNSTYLIZED, at_frame, config, interrupt_at

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs links and permissions")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Return a folder of the user's, with files that are named like ours."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("00000000.mp4", "00000008.mp4", "00000008.safetensors", "lock", "output.part", "manifest.jsonl"):
        (folder / name).write_text("precious")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_work_folder_that_is_a_link_is_refused_at_the_start(tmp_path: Path, clip: Path, precious: Path) -> None:
    (tmp_path / "out.mp4.flowbrush").symlink_to(precious)
    before = contents(precious)
    frames = list[int]()
    with pytest.raises(OutputError, match=r"out\.mp4: .*\.flowbrush cannot be used \(it is a link; remove it\)"):
        stylize_video(
            config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED), progress=lambda state: frames.append(state.frames)
        )
    clear_remains(str(tmp_path / "out.mp4"))
    assert describe_partial_output(str(tmp_path / "out.mp4"), is_fresh=False) == ""
    assert (contents(precious), frames) == (before, [])
    assert not (tmp_path / "out.mp4").exists()


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path, clip: Path, precious: Path) -> None:
    (tmp_path / "out.mp4.flowbrush").mkdir(mode=0o700)
    (tmp_path / "out.mp4.flowbrush" / "lock").symlink_to(precious / "lock")
    before = contents(precious)
    with pytest.raises(OutputError, match="link"):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED))
    assert contents(precious) == before


def test_a_lock_that_is_a_fifo_is_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.mp4.flowbrush").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "out.mp4.flowbrush" / "lock")
    with pytest.raises(OutputError, match="not a regular file"):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED))


def test_unfinished_files_that_are_links_are_not_written_through(tmp_path: Path, clip: Path, precious: Path) -> None:
    folder = tmp_path / "out.mp4.flowbrush"
    folder.mkdir(mode=0o700)
    for name in ("00000000.mp4.part", "00000008.mp4.part", "00000008.safetensors.part", "manifest.json.part"):
        (folder / name).symlink_to(precious / "lock")
    (folder / "output.part").symlink_to(precious / "output.part")
    before = contents(precious)
    assert stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED)).frames == 40
    assert contents(precious) == before
    assert sorted(os.listdir(tmp_path)) == ["out.mp4", "precious"]


def test_a_job_folder_that_is_a_link_is_not_emptied(tmp_path: Path, clip: Path, precious: Path) -> None:
    folder = tmp_path / "out.mp4.flowbrush"
    folder.mkdir(mode=0o700)
    (folder / "job0000.flowbrush").symlink_to(precious)
    (folder / "job0001.flowbrush").symlink_to(folder)  # and a loop
    before = contents(precious)
    assert used_bytes(str(folder)) == 0
    stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED))
    assert contents(precious) == before


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_work_folder_that_others_can_write_to_is_refused(tmp_path: Path, clip: Path, mode: int) -> None:
    (tmp_path / "out.mp4.flowbrush").mkdir()
    (tmp_path / "out.mp4.flowbrush").chmod(mode)
    with pytest.raises(OutputError, match="others can write to it"):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_work_folder_of_another_user_is_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.mp4.flowbrush").mkdir(mode=0o700)
    os.chown(tmp_path / "out.mp4.flowbrush", 12345, 12345)
    with pytest.raises(OutputError, match="belongs to another user"):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED))


def test_a_work_folder_is_closed_to_others(tmp_path: Path, clip: Path) -> None:
    interrupt_at(20, clip, tmp_path / "out.mp4", stylize=UNSTYLIZED)
    assert (tmp_path / "out.mp4.flowbrush").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("in_segments", [True, False])
@pytest.mark.parametrize("leads_to", ["nowhere.mp4", "precious/lock"])
def test_an_output_that_is_a_link_is_refused(
    tmp_path: Path, clip: Path, precious: Path, leads_to: str, in_segments: bool
) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / leads_to)
    before, names = contents(precious), sorted(os.listdir(tmp_path))
    with pytest.raises(OutputError, match=r"out\.mp4: is a link; remove it, give another name or --overwrite"):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED, in_segments=in_segments))
    assert (contents(precious), sorted(os.listdir(tmp_path))) == (before, names)


@pytest.mark.parametrize("in_segments", [True, False])
def test_a_link_that_appears_meanwhile_is_not_followed(tmp_path: Path, clip: Path, in_segments: bool) -> None:
    link = tmp_path / "out.mp4"
    with pytest.raises(PipelineError, match=r"out\.mp4: .*another file was created there meanwhile"):
        stylize_video(
            config(clip, link, stylize=UNSTYLIZED, in_segments=in_segments),
            progress=at_frame(20, lambda: link.symlink_to(tmp_path / "nowhere.mp4")),
        )
    assert link.is_symlink()
    assert not (tmp_path / "nowhere.mp4").exists()


def test_overwrite_writes_where_a_link_leads(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "real.mp4")
    overwrite = EncodeConfig(overwrite=True)
    for _ in range(2):
        stylize_video(config(clip, tmp_path / "out.mp4", stylize=UNSTYLIZED, encode=overwrite))
    assert (tmp_path / "out.mp4").is_symlink()
    assert (tmp_path / "real.mp4").is_file()
