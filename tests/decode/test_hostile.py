"""Files that were made to do harm, and names and texts that are merely odd."""

import json
import os
import re
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

import cli
from models.registry import WeightsError, load, read_catalog
from pipeline.config import DecodeConfig
from pipeline.decode.container_check import find_inflated_index
from pipeline.decode.demuxer import MAX_FRAMES
from pipeline.decode.open import DEMUXERS, MAX_PIXELS, demux, open_container
from pipeline.decode.source import open_source
from pipeline.decode.trim import FrameTimes
from pipeline.errors import InputError, StyleError, printable
from pipeline.stylize.style import find_style
from tests.support.extras import FONT, Extras, enrich
from tests.support.fuzz import fuzz
from tests.support.media import AWKWARD_NAMES, Clip, Sound, contents, make_clip

ROOT = Path(cli.__file__).parent
PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "none"]
SHORT = {"pts": (0, 512, 1024)}


def frames_of(path: Path, **config: object) -> int:
    with open_source(path, DecodeConfig(**config)) as source:  # type: ignore[arg-type]
        return sum(isinstance(item, av.VideoFrame) for item in source.items())


def run(*arguments: str | Path, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """The command in a process of its own, in a terminal that knows ASCII alone."""
    environment = dict(os.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="", OMP_NUM_THREADS="1")
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=environment, **options)  # type: ignore[call-overload,no-any-return]


# --- fuzzing ---


def test_fifty_mutated_clips_give_frames_or_an_error_of_ours(tmp_path: Path) -> None:
    tally = fuzz(range(50), tmp_path, workers=1, progress=lambda done: None)
    assert tally.found == {}
    assert tally.outcomes.total() == 50
    assert {"read", "InputError", "written"} <= set(tally.outcomes)


@pytest.mark.prove
def test_thousands_of_mutated_clips_give_frames_or_an_error_of_ours(tmp_path: Path) -> None:
    tally = fuzz(range(20_000), tmp_path, progress=lambda done: None)
    assert tally.found == {}
    assert tally.outcomes.total() == 20_000


# --- files that open others ---


def test_no_demuxer_that_opens_other_files_is_allowed() -> None:
    allowed = set(DEMUXERS.split(","))
    assert not allowed & {
        "concat",
        "concatf",
        "hls",
        "applehttp",
        "dash",
        "imf",
        "image2",
        "image2pipe",
        "lavfi",
        "sdp",
    }
    assert not allowed & {
        "rtsp",
        "rtp",
        "sap",
        "tedcaptions",
        "tty",
        "webm_dash_manifest",
        "x11grab",
        "v4l2",
        "vapoursynth",
    }


def _alias(name: str) -> bytes:
    """A ``dref`` entry that points to ``name`` beside the file: a Macintosh alias record, as FFmpeg reads it."""
    path = f"/{name}".encode()
    path += b"\0" * (len(path) % 2)
    head = b"\0" * 10 + bytes([0]) + b"\0" * 27 + b"\0" * 12 + bytes([0]) + b"\0" * 63 + b"\0" * 16
    body = head + struct.pack(">HH", 1, 1) + b"\0" * 16 + struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0" * 8
    return struct.pack(">I4sI", 12 + len(body), b"alis", 0) + body


def _grown(data: bytes, path: tuple[bytes, ...], old: bytes, new: bytes) -> bytes:
    """``data`` with ``old`` replaced, and the boxes around it, outermost first, as much longer."""
    place = 0
    grown = bytearray(data)
    for name in path:
        place = data.index(name, place)
        size = int.from_bytes(data[place - 4 : place]) + len(new) - len(old)
        grown[place - 4 : place] = size.to_bytes(4)
    begin = data.index(old, place)
    return bytes(grown[:begin]) + new + bytes(grown[begin + len(old) :])


def test_an_mp4_whose_pictures_lie_in_another_file_does_not_open_it(tmp_path: Path) -> None:
    secret = make_clip(tmp_path / "secret.mov", Clip(**SHORT))
    data = secret.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data = data[:begin] + b"\x55" * (end - begin) + data[end:]
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    url = struct.pack(">I4sI", 12, b"url ", 1)
    evil = tmp_path / "evil.mov"
    evil.write_bytes(_grown(data, boxes, url, _alias("secret.mov")))
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(evil), options=options) as container:  # what FFmpeg does where it is allowed to
        assert sum(1 for _ in container.decode(video=0)) == 3
    with pytest.raises(InputError, match="none of its video frames"):
        frames_of(evil)


# --- names ---

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


def test_a_name_that_is_no_text_on_a_terminal_that_knows_ascii_alone(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[2J \xe2\x98\x83.mp4")
    make_clip(tmp_path / "plain.mp4", Clip(**SHORT)).rename(tmp_path / name)
    result = run("video", *PLAIN, "--json", "--", name, f"out{name}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.decode("ascii"))["output"]
    assert told.encode("utf-8", "surrogateescape") == os.fsencode(f"out{name}")
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", result.stderr)


@pytest.mark.parametrize("name", ["\x1b[2J", "line\nbreak", "\udcff\udcfe", "a\u202eb", "\x9b31m"])
def test_errors_and_results_are_one_harmless_line(tmp_path: Path, name: str) -> None:
    missing = run("video", *PLAIN, "--", f"{name}.mp4", "out.mp4", cwd=tmp_path)
    assert missing.returncode == 3
    assert missing.stderr.count(b"\n") == 1
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", missing.stderr)


def test_printable_leaves_what_can_be_shown() -> None:
    assert printable("Smørrebrød 🎬 寿司 👩‍🎨 שלום") == "Smørrebrød 🎬 寿司 👩‍🎨 שלום"
    assert printable("a\x1b[2J\nb\tc\udcff\u202e\u2028\x9b") == r"a\x1b[2J\nb\tc\xff\u202e\u2028\x9b"


def test_a_name_too_long_for_the_system_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        open_source(tmp_path / ("a" * 300 + ".mp4"))
    source = make_clip(tmp_path / "in.mp4", Clip(**SHORT))
    result = CliRunner().invoke(cli.app, ["video", *PLAIN, str(source), str(tmp_path / ("a" * 300 + ".mp4"))])
    assert result.exit_code == 4
    assert result.stderr.count("\n") <= 2


# --- texts in the file ---


def test_metadata_come_through_as_they_are_and_harm_no_terminal(tmp_path: Path) -> None:
    texts = {
        "title": "\x1b[2Jcleared\x07\nsecond line\u202e",
        "comment": "no UTF-8: \udcff\udce9",
        "copyright": "long " * 20_000,
    }
    path = tmp_path / "in.mkv"
    plain = make_clip(tmp_path / "plain.mkv", Clip(**SHORT, sounds=[Sound()]))
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


# --- sizes and counts ---


def test_an_enormous_picture_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    large = make_clip(tmp_path / "large.mkv", Clip(pts=(0,), width=16_400, height=64, codec="ffv1", options={}))
    with pytest.raises(InputError, match="16400x64; the limit is 100 million pixels and 16384 px"):
        open_source(large)
    raw = tmp_path / "huge.y4m"
    raw.write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + b"\0" * 4000)
    with pytest.raises(InputError):
        open_source(raw)


def test_a_picture_that_grows_later_is_refused_by_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.decode.open.MAX_PIXELS", 64 * 64)
    options = {"preset": "ultrafast", "crf": "40"}
    parts = [
        make_clip(
            tmp_path / f"{side}.ts",
            Clip(width=side, pts=range(first, first + 45000, 3000), time_base=Fraction(1, 90000), options=options),
        )
        for side, first in ((64, 0), (640, 45000))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(path) as source:
        sizes = {item.width for item in source.items() if isinstance(item, av.VideoFrame)}
        assert sizes == {64}
        assert source.damage


def test_frames_without_end_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_FRAMES >= 10**7
    monkeypatch.setattr("pipeline.decode.demuxer.MAX_FRAMES", 10)
    with pytest.raises(InputError, match="more than 10 frames"):
        frames_of(make_clip(tmp_path / "clip.mp4"))


def test_an_index_of_more_samples_than_bytes_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(**SHORT))
    assert find_inflated_index(str(path)) is None
    data = bytearray(path.read_bytes())
    place = data.index(b"stsz") + 8
    data[place : place + 8] = struct.pack(">II", 1, 170_000_000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="170000000 samples"):
        open_source(path)


def test_streams_beyond_the_limit_are_an_error_and_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.decode.open.MAX_STREAMS", 20)
    clip = make_clip(tmp_path / "clip.mkv", Clip(**SHORT))
    fonts = [(f"{number}.ttf", "font/ttf", FONT) for number in range(30)]
    assert frames_of(enrich(clip, tmp_path / "some.mkv", Extras(attachments=fonts[:15]))) == 3
    with pytest.raises(InputError, match="20 streams or more"):
        frames_of(enrich(clip, tmp_path / "many.mkv", Extras(attachments=fonts)))


def test_a_track_of_an_unknown_codec_is_left_out_and_said(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mkv", Clip(**SHORT, sounds=[Sound()]))
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    result = CliRunner().invoke(cli.app, ["video", *PLAIN, str(path), str(tmp_path / "out.mkv")])
    assert result.exit_code == 0, result.output
    assert "note: audio stream 1" in result.stderr
    assert len(contents(tmp_path / "out.mkv").times) == 3


def test_a_stream_that_turns_up_late_stops_nothing() -> None:
    def stumble(streams: object) -> object:
        yield "packet"
        raise IndexError("list index out of range")  # as PyAV does in its flush

    container = SimpleNamespace(demux=stumble)
    assert list(demux(container, ())) == ["packet"]  # type: ignore[arg-type]


# --- times ---


@pytest.mark.parametrize("absurd", [2**62, -(2**62), 2**63 - 1, 10**12])
def test_times_that_cannot_be_are_taken_for_missing(absurd: int) -> None:
    times = FrameTimes(Fraction(1, 30), Fraction(0), Fraction(30))
    given = [0, 1, absurd, 3, None]
    frames = [SimpleNamespace(pts=pts, dts=None, duration=1) for pts in given]
    assert [times.pts(frame) for frame in frames] == [0, 1, 2, 3, 4]  # type: ignore[arg-type]


# --- pipes ---


def test_a_pipe_gives_what_a_file_gives_whole_and_broken(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2000, 40), time_base=Fraction(1, 1000), sounds=[Sound()]))
    whole = path.read_bytes()
    for data, codes in ((whole, {0}), (whole[: len(whole) // 2], {7, 0}), (whole[:90], {3})):
        path.write_bytes(data)
        piped = run("video", *PLAIN, "-", tmp_path / "piped.mkv", "--overwrite", "-q", input=data)
        filed = run("video", *PLAIN, path, tmp_path / "filed.mkv", "--overwrite", "-q")
        assert piped.returncode in codes, piped.stderr
        assert filed.returncode in {7 if code == 0 and data != whole else code for code in codes}
        if data[100:]:
            assert contents(tmp_path / "piped.mkv").times == contents(tmp_path / "filed.mkv").times


def test_a_pipe_without_end_is_refused_where_it_is_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, sender = os.pipe()

    def feed() -> None:
        try:
            while True:
                os.write(sender, b"\0" * 65536)
        except OSError:
            return

    thread = threading.Thread(target=feed)
    thread.start()
    with open(receiver, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        with pytest.raises(InputError, match="is not a video"):
            open_source("-")
    thread.join(timeout=10)
    os.close(sender)
    assert not thread.is_alive()


# --- weights ---


def _weights(path: Path, **changes: object) -> Path:
    card = {"name": "evil"} | changes.pop("card", {})  # type: ignore[operator]
    metadata = {
        "format": "flowbrush-1",
        "architecture": json.dumps(changes.pop("architecture", {"widths": [4, 6, 8], "blocks": 1, "kernel": 3})),
        "styles": json.dumps(changes.pop("styles", [card])),
    }
    save_file({"network.x": np.zeros(3, np.float16)}, path, metadata)
    return path


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        (b"PK\x03\x04" + b"\0" * 60, "a pickle of PyTorch, which can run code"),
        (b"\x80\x02}q\x00." + b"\0" * 60, "a pickle of PyTorch, which can run code"),
        ((2**62).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((400 * 2**20).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((40).to_bytes(8, "little") + b"[" * 40, "not a safetensors file"),
        (b"", "not a safetensors file"),
    ],
)
def test_what_is_no_weight_file_is_refused(tmp_path: Path, begin: bytes, reason: str) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(begin)
    with pytest.raises(WeightsError, match=reason):
        load(str(path))


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + os.fsencode(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(StyleError):
        find_style(str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": {"widths": [10**6, 10**6, 10**6]}},
        {"architecture": {"widths": [16.5, 32, 64]}},
        {"architecture": {"widths": [4, 6, 8], "blocks": 10**9}},
        {"architecture": {"widths": [4, 6, 8], "kernel": 10**6 + 1}},
        {"architecture": {"unknown": 1}},
        {"architecture": [1]},
        {"styles": {}},
        {"styles": [1]},
        {"styles": "evil"},
        {"card": {"name": ["evil"]}},
        {"card": {"name": ""}},
        {"card": {"figures": {"a": "b"}}},
        {"card": {"painting_px": "large"}},
        {},
    ],
)
def test_weights_that_lie_about_themselves_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        load(str(_weights(tmp_path / "evil.safetensors", **changes)))


def _bundled_with(path: Path, change: "dict[str, object]") -> Path:
    """The bundled weights with fields of the first tensor in the header replaced."""
    content = (ROOT / "models" / "weights" / "gallery.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header[next(name for name in header if name.startswith("network."))].update(change)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [4, 0]},
        {"data_offsets": [2, 66]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1]},
        {"dtype": "I16"},
        {"dtype": "F64"},
        {"dtype": "NONSENSE"},
    ],
)
def test_headers_that_point_elsewhere_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        load(f"{_bundled_with(tmp_path / 'evil.safetensors', change)}#great-wave")


def test_mutated_weights_are_loaded_or_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    content = (ROOT / "models" / "weights" / "gallery.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for _ in range(60):
        data = bytearray(content)
        for place in generator.integers(0, end, 3):
            data[place] = generator.integers(256)
        path = tmp_path / "evil.safetensors"
        path.write_bytes(data)
        try:
            read_catalog(path)
            load(f"{path}#great-wave")
        except WeightsError:
            refused += 1
    assert refused > 10


def test_a_style_that_is_a_folder_or_a_device_is_refused(tmp_path: Path) -> None:
    for name in (str(tmp_path), "/dev/zero", f"{tmp_path}/no\0where"):
        with pytest.raises(StyleError):
            find_style(name)


def test_the_decoder_keeps_its_own_limit(tmp_path: Path) -> None:
    container = open_container(str(make_clip(tmp_path / "clip.mp4", Clip(**SHORT))), None)
    assert MAX_PIXELS < 2**27
    assert container.options["max_pixels"] == str(MAX_PIXELS)
    container.close()
