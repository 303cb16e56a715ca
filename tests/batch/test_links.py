"""Names in an output folder that others have prepared are neither followed nor written through."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.batch.events import Event, Failed, Finished
from pipeline.batch.session import plan, run_batch
from pipeline.errors import OutputError
from tests.support.batching import batch_config, make_clips, outputs_of, report_of, run_here

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs links")


def test_links_in_the_output_folder_are_not_written_through(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", frames=2)
    (tmp_path / "out").mkdir()
    precious = tmp_path / "precious"
    precious.write_text("precious")
    names = ("report.json", "report.json.part", "report.html", "report.html.part")
    for name in names:
        (tmp_path / "out" / name).symlink_to(precious)
    ended, _ = run_here(batch_config(tmp_path))
    assert ended.painted == 1
    assert precious.read_text() == "precious"
    assert (tmp_path / "out" / "report.json").is_file()
    assert not (tmp_path / "out" / "report.json").is_symlink()


def test_a_state_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", frames=2)
    (tmp_path / "precious").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".flowbrush-batch").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"\.flowbrush-batch: the folder cannot be used \(it is a link; remove it\)"):
        run_here(batch_config(tmp_path))
    assert not os.listdir(tmp_path / "precious")


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", frames=2)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out" / ".flowbrush-batch").mkdir(parents=True, mode=0o700)
    (tmp_path / "out" / ".flowbrush-batch" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="lock is a link"):
        run_here(batch_config(tmp_path))
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_subfolder_that_leads_out_of_the_output_folder_is_not_written_into(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", "inside/b.mp4", "sub/c.mp4", "sub/deep/d.mp4", frames=2)
    for name in ("real", "elsewhere", "real/other"):
        (tmp_path / name).mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")  # named by the user
    (tmp_path / "real" / "inside").symlink_to(tmp_path / "real" / "other")
    (tmp_path / "real" / "sub").symlink_to(tmp_path / "elsewhere")
    ended, events = run_here(batch_config(tmp_path))
    assert (ended.painted, ended.failed) == (2, 2)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert sorted(set(outputs_of(events, Failed))) == ["sub/c_great-wave.mp4", "sub/deep/d_great-wave.mp4"]
    errors = [clip["error"] for clip in report_of(tmp_path)["clips"] if clip["error"]]
    assert all(
        "a link leads out of the output folder; remove it, or choose another --output" in line for line in errors
    )


def test_a_clip_that_becomes_a_link_to_a_file_outside_is_not_opened(tmp_path: Path) -> None:
    """One of a folder, one in a subfolder that is exchanged, one of a pattern; but the one that the user names is."""
    folder = make_clips(tmp_path, "a.mp4", "sub/b.mp4", frames=1)
    more = make_clips(tmp_path / "more", "c.mp4", frames=1)
    named = make_clips(tmp_path / "named", "d.mp4", frames=1) / "d.mp4"
    inputs = (str(folder), str(more / "*.mp4"), str(named))
    config = replace(batch_config(tmp_path), inputs=inputs)
    planned = plan(config)
    (tmp_path / "elsewhere").mkdir()
    for place in (folder / "a.mp4", folder / "sub", more / "c.mp4", named):
        place.rename(tmp_path / "elsewhere" / place.name)
        place.symlink_to(tmp_path / "elsewhere" / place.name)
    events: list[Event] = []
    run_batch(config, planned, events.append)
    assert outputs_of(events, Finished) == ["d_great-wave.mp4"]
    errors = {clip["source"]: clip["error"] for clip in report_of(tmp_path)["clips"] if clip["error"]}
    line = "{0}: a link leads out of {1}; to include the file, name the file itself"
    assert errors == {
        str(folder / "a.mp4"): line.format(folder / "a.mp4", folder),
        str(folder / "sub" / "b.mp4"): line.format(folder / "sub" / "b.mp4", folder),
        str(more / "c.mp4"): line.format(more / "c.mp4", more),
    }


def test_a_link_that_leads_out_of_the_output_folder_is_not_overwritten(tmp_path: Path) -> None:
    make_clips(tmp_path, "a.mp4", frames=2)
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out" / "a_great-wave.mp4").symlink_to(tmp_path / "precious")
    ended, _ = run_here(batch_config(tmp_path, options={"overwrite": True}))
    assert (ended.painted, ended.failed) == (0, 1)
    assert (tmp_path / "precious").read_text() == "precious"
