"""The command `flowbrush batch`."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from tests.support.media import Clip, contents, make_clip

PLAIN = ("--engine", "eager", "--device", "cpu")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    result = CliRunner().invoke(cli.app, ["batch", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    make_clip(tmp_path / "in" / "a.mp4", Clip(pts=range(0, 2560, 512)))
    make_clip(tmp_path / "in" / "sub" / "b.mp4", Clip(pts=range(0, 2560, 512)))
    (tmp_path / "in" / "notes.txt").write_text("no clip")
    return tmp_path / "in"


def test_a_dry_run_prints_the_plan_and_writes_nothing(folder: Path) -> None:
    out = folder.parent / "out"
    code, printed, said = run(folder, "--output", out, "--style", "great-wave,minotaur", "--dry-run", *PLAIN)
    assert (code, said) == (0, "")
    lines = printed.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("a_great-wave.mp4: 64x48, 5 frames: about ")
    assert "4 outputs, 0 of them done; 20 frames to stylize" in lines[-1]
    assert "1 other files are not videos" in lines[-1]
    assert not out.exists()


def test_the_result_is_a_table_and_an_exit_code(folder: Path) -> None:
    out = folder.parent / "out"
    assert run(folder, "--output", out, "--style", "great-wave", "--quiet", *PLAIN) == (0, "", "")
    (folder / "broken.mp4").write_bytes(b"broken")
    code, printed, said = run(folder, "--output", out, "--style", "great-wave", *PLAIN)
    assert (code, printed) == (1, "")
    first, *rows, last = said.splitlines()
    assert re.match(r"note: broken_great-wave\.mp4 failed: .*broken\.mp4: ", first)
    assert [row.split()[:2] for row in rows] == [
        ["a_great-wave.mp4", "done"],
        [str(Path("sub/b_great-wave.mp4")), "done"],
        ["broken_great-wave.mp4", "failed"],
    ]
    assert last.startswith("0 stylized, 2 done before, 1 failed in ")
    assert last.endswith(f"; {out / 'report.html'}")


def test_options_of_video_reach_every_clip(folder: Path) -> None:
    out = folder.parent / "out"
    code, printed, _ = run(
        folder, "--output", out, "--style", "great-wave", "--height", "24", "--json-lines", "--no-tag", *PLAIN
    )
    events = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert {event["event"] for event in events} >= {"planned", "started", "finished", "ended"}
    assert contents(out / "a_great-wave.mp4").height == 24
    assert "flowbrush" not in str(contents(out / "a_great-wave.mp4").metadata)


def test_every_error_is_one_line_with_its_own_exit_code(folder: Path) -> None:
    out = folder.parent / "out"
    out.mkdir()
    (out / "a_great-wave.mp4").write_bytes(b"someone else's")
    jobs = folder.parent / "jobs.csv"
    jobs.write_text("input,style,strength\nin/a.mp4,great-wave,9\n")
    style = ("--style", "great-wave")
    cases: list[tuple[int, list[str | Path]]] = [
        (2, [folder, *PLAIN]),
        (2, [folder, *style, "--name", "{stem}{number}"]),
        (2, [folder, *style, "--height", "3"]),
        (2, [folder / "a.mp4", *style, "--watch"]),
        (2, [jobs]),
        (3, [folder / "missing", *style]),
        (3, [folder / "*.avi", *style]),
        (4, [folder, *style]),
        (4, [folder / "a.mp4", folder / "sub" / "b.mp4", *style, "--name", "same{suffix}"]),
        (5, [folder, "--style", "grate-wave"]),
        (6, [folder, "--style", "minotaur", "--device", "cuda:99"]),
    ]
    for expected, arguments in cases:
        code, printed, error = run(*arguments, "--output", out)
        assert (code, printed) == (expected, ""), (arguments, error)
        assert error.count("\n") == 1, error
        assert error.startswith("flowbrush: ")
    assert [path.name for path in out.iterdir()] == ["a_great-wave.mp4"]
