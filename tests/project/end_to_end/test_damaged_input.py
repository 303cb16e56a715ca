"""Damaged input is stylized as far as it decodes, with exit code 7; with --strict it is an error."""

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

import cli
from pipeline.errors import DAMAGED_INPUT
from tests.support.clips.reading import (
    spoil,
    truncate,
)
from tests.support.media import Audio, Clip, contents, make_clip

PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "none"]


EVERY_FIFTH = {"crf": "12", "preset": "ultrafast", "g": "5", "bf": "0"}


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Return the exit code, standard output and standard error."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A clip with a damaged packet at 1/3 s."""
    path = make_clip(tmp_path / "damaged.mp4", Clip(options=EVERY_FIFTH, audio=[Audio()]))
    spoil(path, 10, b"\xff" * 9999)
    return path


def test_a_damaged_clip_is_stylized_with_an_exit_code_of_its_own(tmp_path: Path, damaged: Path) -> None:
    target = tmp_path / "out.mp4"
    code, out, stderr = run("video", damaged, target, *PLAIN, "--json")
    assert code == DAMAGED_INPUT == 7
    result = json.loads(out)
    assert 25 <= result["frames"] == len(contents(target).times) < 30
    (place,) = result["damage"]
    assert set(place) == {"stream", "packet", "seconds", "reason"}
    assert (place["stream"], place["packet"]) == ("video", 10)
    assert place["seconds"] == pytest.approx(1 / 3, abs=1e-5)
    assert "note: 1 place of the input could not be read as written (video packet 10 at 0.333 s" in stderr


def test_an_undamaged_clip_exits_with_0(tmp_path: Path) -> None:
    code, out, _ = run("video", make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", *PLAIN, "--json")
    assert (code, json.loads(out)["damage"]) == (0, [])


def test_strict_makes_damage_an_error_and_leaves_no_output(tmp_path: Path, damaged: Path) -> None:
    code, _, stderr = run("video", damaged, tmp_path / "out.mp4", *PLAIN, "--strict", "-q")
    assert code == 3
    assert "is damaged (video packet 1" in stderr  # a decoder with threads reports it late
    assert "--strict" in stderr
    assert not (tmp_path / "out.mp4").exists()


def test_strict_refuses_a_truncated_clip_before_stylizing(tmp_path: Path) -> None:
    path = truncate(make_clip(tmp_path / "in.mkv"), 0.8)
    code, _, stderr = run("video", path, tmp_path / "out.mp4", *PLAIN, "--strict")
    assert code == 3
    assert "before the end of its Matroska segment" in stderr
    assert [file.name for file in tmp_path.iterdir()] == ["in.mkv"]


def test_audio_that_does_not_decode_is_damage_if_it_is_converted(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 3000, 40), time_base=Fraction(1, 1000), audio=[Audio(seconds=Fraction(3))])
    path = make_clip(tmp_path / "in.mkv", clip)
    with av.open(str(path)) as container:
        audio = [packet for packet in container.demux(audio=0) if packet.size]
        broken = [bytes(packet) for packet in audio if 1 <= packet.pts * packet.time_base < 2]
    content = path.read_bytes()
    for payload in broken:
        content = content.replace(payload, b"\xff" * len(payload), 1)
    path.write_bytes(content)
    code, out, _ = run("video", path, tmp_path / "out.webm", *PLAIN, "--json", "--start", "0.5")
    (place,) = json.loads(out)["damage"]
    assert (code, place["stream"]) == (DAMAGED_INPUT, "audio 1")
    assert place["seconds"] == pytest.approx(1, abs=0.03)
    code, _, stderr = run("video", path, tmp_path / "strict.webm", *PLAIN, "--strict")
    assert (code, (tmp_path / "strict.webm").exists()) == (3, False)
    assert "is damaged (audio 1 packet" in stderr
