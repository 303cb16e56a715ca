"""Files that were made to do harm, and odd names and texts, through the whole command."""

import json
import os
import re
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image
from typer.testing import CliRunner

import cli
from pipeline.decode.source import open_source
from pipeline.errors import InputError, printable
from tests.support.fuzz.workers import fuzz
from tests.support.media import AWKWARD_NAMES, Audio, Clip, contents, make_clip

ROOT = Path(cli.__file__).parent


PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "none"]


SHORT = {"pts": (0, 512, 1024)}


def run(*arguments: str | Path, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Run the command in its own process, in an ASCII terminal."""
    environment = dict(os.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="", OMP_NUM_THREADS="1")
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=environment, **options)  # type: ignore[call-overload,no-any-return]


def test_cases_of_each_kind_give_what_is_reported_or_our_errors(tmp_path: Path) -> None:
    tally = fuzz(range(32), tmp_path, workers=1, progress=lambda done: None)
    assert tally.found == {}
    assert tally.outcomes.total() == 32
    assert {"read", "InputError", "written", "played", "picture", "planned"} <= set(tally.outcomes)


@pytest.mark.prove
def test_thousands_of_cases_give_what_is_reported_or_our_errors(tmp_path: Path) -> None:
    tally = fuzz(range(20_000), tmp_path, progress=lambda done: None)
    assert tally.found == {}
    assert tally.outcomes.total() == 20_000


ODD_NAMES = [*AWKWARD_NAMES, "\x1b[31mred\x1b[0m.mp4", "a" * 200 + ".mp4", " .mp4", "a\u202e4pm.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names_of_input_and_output(
    tmp_path: Path, name: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode(name)
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "plain.mp4", Clip(**SHORT)).rename(name)
    Path("out").mkdir()
    target = os.path.join("out", name)
    result = CliRunner().invoke(cli.app, ["video", *PLAIN, "--json", "--", name, target])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout_bytes.decode("ascii"))["output"] == target
    assert Path(target).exists()
    assert all(printable(line) == line for line in result.stderr.splitlines())


def test_a_name_that_is_not_text_on_an_ascii_terminal(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[2J \xe2\x98\x83.mp4")
    make_clip(tmp_path / "plain.mp4", Clip(**SHORT)).rename(tmp_path / name)
    result = run("video", *PLAIN, "--json", "--", name, f"out{name}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    name_in_json = json.loads(result.stdout.decode("ascii"))["output"]
    assert name_in_json.encode("utf-8", "surrogateescape") == os.fsencode(f"out{name}")
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", result.stderr)


@pytest.mark.parametrize("name", ["\x1b[2J", "line\nbreak", "\udcff\udcfe", "a\u202eb", "\x9b31m"])
def test_errors_and_results_are_one_harmless_line(tmp_path: Path, name: str) -> None:
    missing = run("video", *PLAIN, "--", f"{name}.mp4", "out.mp4", cwd=tmp_path)
    assert missing.returncode == 3
    assert missing.stderr.count(b"\n") == 1
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", missing.stderr)


def test_printable_keeps_what_can_be_shown() -> None:
    assert printable("Smørrebrød 🎬 寿司 👩‍🎨 שלום") == "Smørrebrød 🎬 寿司 👩‍🎨 שלום"
    assert printable("a\x1b[2J\nb\tc\udcff\u202e\u2028\x9b") == r"a\x1b[2J\nb\tc\xff\u202e\u2028\x9b"


def test_a_name_too_long_for_the_file_system_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        open_source(tmp_path / ("a" * 300 + ".mp4"))
    source = make_clip(tmp_path / "in.mp4", Clip(**SHORT))
    result = CliRunner().invoke(cli.app, ["video", *PLAIN, str(source), str(tmp_path / ("a" * 300 + ".mp4"))])
    assert result.exit_code == 4
    assert result.stderr.count("\n") <= 2


def test_metadata_are_copied_as_they_are_and_escaped_on_the_terminal(tmp_path: Path) -> None:
    texts = {
        "title": "\x1b[2Jcleared\x07\nsecond line\u202e",
        "comment": "no UTF-8: \udcff\udce9",
        "copyright": "long " * 20_000,
    }
    path = tmp_path / "in.mkv"
    plain = make_clip(tmp_path / "plain.mkv", Clip(**SHORT, audio=[Audio()]))
    with (
        av.open(f"file:{plain}") as before,
        av.open(f"file:{path}", "w", format="matroska", metadata_errors="surrogateescape") as after,
    ):
        after.metadata.update(texts)
        streams = [after.add_stream_from_template(stream) for stream in before.streams]
        streams[1].metadata.update({"title": "\x1b]0;owned\x07", "language": "e\x1bg"})
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                after.mux(packet)
    result = run("video", *PLAIN, path, tmp_path / "out.mkv", "--no-tag", "-v")
    assert result.returncode == 0, result.stderr
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", result.stderr + result.stdout)
    with av.open(f"file:{tmp_path / 'out.mkv'}", metadata_errors="surrogateescape") as container:
        found = {key.casefold(): text for key, text in container.metadata.items()}
        assert {key: found[key] for key in texts} == texts
        assert container.streams.audio[0].metadata["title"] == "\x1b]0;owned\x07"


def test_a_damaged_picture_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010E] = "a description"
    mask = tmp_path / "mask.tif"
    Image.new("L", (64, 48), 255).save(mask, exif=tags)
    data = bytearray(mask.read_bytes())
    place = data.index(struct.pack("<HH", 0x010E, 2))
    data[place + 4 : place + 8] = struct.pack("<I", 10**6)  # a longer description than the file
    mask.write_bytes(data)
    source = make_clip(tmp_path / "in.mp4", Clip(**SHORT))
    result = run("video", *PLAIN, source, tmp_path / "out.mp4", "--mask", mask, "-q")
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_track_of_an_unknown_codec_is_dropped_with_a_notice(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mkv", Clip(**SHORT, audio=[Audio()]))
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    result = CliRunner().invoke(cli.app, ["video", *PLAIN, str(path), str(tmp_path / "out.mkv")])
    assert result.exit_code == 0, result.output
    assert "note: audio stream 1" in result.stderr
    assert len(contents(tmp_path / "out.mkv").times) == 3


def test_a_pipe_gives_what_a_file_gives(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2000, 40), time_base=Fraction(1, 1000), audio=[Audio()]))
    whole = path.read_bytes()
    for data, codes in ((whole, {0}), (whole[: len(whole) // 2], {7, 0}), (whole[:90], {3})):
        path.write_bytes(data)
        piped = run("video", *PLAIN, "-", tmp_path / "piped.mkv", "--overwrite", "-q", input=data)
        filed = run("video", *PLAIN, path, tmp_path / "filed.mkv", "--overwrite", "-q")
        assert piped.returncode in codes, piped.stderr
        assert filed.returncode in {7 if code == 0 and data != whole else code for code in codes}
        if data[100:]:
            assert contents(tmp_path / "piped.mkv").times == contents(tmp_path / "filed.mkv").times
