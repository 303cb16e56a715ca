import os
import struct
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import av
import pytest

from pipeline.decode.open import DEMUXERS, MAX_FAILURES, MAX_PIXELS, MAX_STREAMS, InputFile, open_container
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support import media
from tests.support.clips.extras import FONT, Extras, enrich
from tests.support.clips.reading import count_frames, read, read_piped, truncate
from tests.support.media import Audio, Clip, make_clip

SHORT = {"pts": (0, 512, 1024)}
MILLISECONDS = {"time_base": Fraction(1, 1000), "pts": range(0, 800, 40)}


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


@pytest.mark.parametrize("kind", ["ffconcat", "m3u8", "sdp", "pattern"])
def test_playlists_and_scripts_open_nothing_else(tmp_path, kind):
    make_clip(tmp_path / "secret.mp4")
    texts = {
        "ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
        "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "pattern": "%03d",
    }
    path = tmp_path / "evil.mp4"
    path.write_text(texts[kind])
    with pytest.raises(InputError):
        open_source(path)


def _alias(name: str) -> bytes:
    """Return a ``dref`` entry for the file ``name``: a Macintosh alias record, as FFmpeg reads it."""
    path = f"/{name}".encode()
    path += b"\0" * (len(path) % 2)
    head = b"\0" * 10 + bytes([0]) + b"\0" * 27 + b"\0" * 12 + bytes([0]) + b"\0" * 63 + b"\0" * 16
    body = head + struct.pack(">HH", 1, 1) + b"\0" * 16 + struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0" * 8
    return struct.pack(">I4sI", 12 + len(body), b"alis", 0) + body


def _grown(data: bytes, path: tuple[bytes, ...], old: bytes, new: bytes) -> bytes:
    """Replace ``old`` by ``new``, and make the boxes around it, outermost first, as much longer."""
    place = 0
    grown = bytearray(data)
    for name in path:
        place = data.index(name, place)
        size = int.from_bytes(data[place - 4 : place]) + len(new) - len(old)
        grown[place - 4 : place] = size.to_bytes(4)
    begin = data.index(old, place)
    return bytes(grown[:begin]) + new + bytes(grown[begin + len(old) :])


def test_an_mp4_with_external_data_does_not_open_it(tmp_path: Path) -> None:
    secret = make_clip(tmp_path / "secret.mov", Clip(**SHORT))
    data = secret.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data = data[:begin] + b"\x55" * (end - begin) + data[end:]
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    url = struct.pack(">I4sI", 12, b"url ", 1)
    evil = tmp_path / "evil.mov"
    evil.write_bytes(_grown(data, boxes, url, _alias("secret.mov")))
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(evil), options=options) as container:  # what FFmpeg does by default
        assert sum(1 for _ in container.decode(video=0)) == 3
    with pytest.raises(InputError, match="none of its video frames"):
        count_frames(evil)


def test_a_pipe_is_read(tmp_path, monkeypatch):
    clip = Clip(time_base=Fraction(1, 1000), pts=range(0, 1000, 40), audio=[Audio()])
    path = make_clip(tmp_path / "clip.mkv", clip)
    frames, packets = read_piped(path, monkeypatch)
    assert [frame.seconds for frame in frames] == media.contents(path).times
    assert [data for _, data in packets[1]] == media.contents(path).audio[0]


def test_an_input_that_fails_midway_is_an_error(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))

    def fail(file, size):
        part = whole(file, size)
        if not part:
            raise OSError(5, "Input/output error")
        return part

    whole = os.read
    monkeypatch.setattr("os.read", fail)
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        with pytest.raises(InputError, match="Input/output error"):
            read("-")


def test_an_endless_pipe_that_is_not_a_video_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_enormous_frames_are_refused_before_they_are_allocated(tmp_path: Path) -> None:
    large = make_clip(tmp_path / "large.mkv", Clip(pts=(0,), width=16_400, height=64, codec="ffv1", options={}))
    with pytest.raises(InputError, match="16400x64; the limit is 100 million pixels and 16384 px"):
        open_source(large)
    raw = tmp_path / "huge.y4m"
    raw.write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + b"\0" * 4000)
    with pytest.raises(InputError):
        open_source(raw)


def test_frames_that_grow_are_refused_by_the_decoder(tmp_path: Path) -> None:
    """The header of the second key frame of a VP8 stream declares 16,000 x 6,400 pixels."""
    options = {"g": "10", "deadline": "realtime"}
    path = make_clip(tmp_path / "in.webm", Clip(**MILLISECONDS, codec="libvpx", options=options))
    data = path.read_bytes()
    start = data.rindex(b"\x9d\x01\x2a") + 3
    path.write_bytes(data[:start] + struct.pack("<HH", 16_000, 6_400) + data[start + 4 :])
    with open_source(path) as source:
        sizes = {item.width for item in source.items() if isinstance(item, av.VideoFrame)}
        assert sizes == {64}
        assert source.damage


def test_more_streams_than_the_limit_are_an_error(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", Clip(**SHORT))
    fonts = [(f"{number}.ttf", "font/ttf", FONT[:64]) for number in range(MAX_STREAMS // 2)]
    assert count_frames(enrich(clip, tmp_path / "some.mkv", Extras(attachments=fonts)))[0] == 3
    path = make_clip(tmp_path / "many.mp4", Clip(**SHORT))
    data = path.read_bytes()
    moov, trak = data.index(b"moov") - 4, data.index(b"trak") - 4
    size = int.from_bytes(data[trak : trak + 4])
    for count, reason in ((MAX_STREAMS, f"{MAX_STREAMS} streams or more"), (MAX_STREAMS + 1, "not a video")):
        more = data[trak : trak + size] * (count - 1)
        grown = (int.from_bytes(data[moov : moov + 4]) + len(more)).to_bytes(4)
        path.write_bytes(data[:moov] + grown + data[moov + 4 : trak + size] + more + data[trak + size :])
        with pytest.raises(InputError, match=reason):
            count_frames(path)


class FakeContainer:
    """Stands in for PyAV's container; ``demux`` yields packets, then raises an error."""

    def __init__(self, error: Exception, *packets: av.Packet) -> None:
        self._error = error
        self._packets = packets

    def demux(self, streams: object) -> Iterator[av.Packet]:
        yield from self._packets
        raise self._error


def test_a_stream_that_appears_late_ends_nothing(tmp_path: Path) -> None:
    """PyAV raises an IndexError at the end of a file with more streams than its header declares."""
    file = InputFile(str(make_clip(tmp_path / "clip.mp4", Clip(**SHORT))))
    with file.container:
        packets = [packet for packet in file.container.demux(video=0) if packet.size]
        file.container = FakeContainer(IndexError("list index out of range"), *packets)  # type: ignore[assignment]
        assert list(file.packets((), Mock(side_effect=AssertionError))) == packets


def test_a_demuxer_that_only_fails_is_given_up(tmp_path: Path) -> None:
    file = InputFile(str(make_clip(tmp_path / "clip.mp4", Clip(**SHORT))))
    with file.container:
        file.container = FakeContainer(av.error.InvalidDataError(1, "Invalid data"))  # type: ignore[assignment]
        failures: list[Exception] = []
        assert list(file.packets((), failures.append)) == []
        assert len(failures) == MAX_FAILURES


def test_more_packets_than_bytes_are_an_error(tmp_path: Path) -> None:
    """The index of the audio declares samples of one byte, in three chunks at the same place."""
    clip = Clip(**SHORT, audio=[Audio(seconds=Fraction(1, 20))], has_audio_first=True)
    path = make_clip(tmp_path / "clip.mp4", clip)
    data = path.read_bytes().replace(b"edts", b"free")  # an edit list would hide most samples
    count = len(data) // 2
    assert 3 * count > len(data) + MAX_STREAMS
    tables = {
        b"stsz": struct.pack(">III", 0, 1, 3 * count),
        b"stsc": struct.pack(">5I", 0, 1, 1, count, 1),
        b"stco": struct.pack(">5I", 0, 3, 100, 100, 100),
        b"stts": struct.pack(">4I", 0, 1, 3 * count, 2),
    }
    for name, table in tables.items():
        start = data.index(name) - 4
        old = data[start : start + int.from_bytes(data[start : start + 4])]
        new = struct.pack(">I4s", 8 + len(table), name) + table
        data = _grown(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl"), old, new)
    path.write_bytes(data)
    with pytest.raises(InputError, match="packets without end"):
        count_frames(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))
    with open_source(path) as source:
        items = source.items()
        next(items)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(InputError, match="shrank while it was read"):
            list(items)


def test_a_failing_disk_is_an_error_and_not_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = truncate(make_clip(tmp_path / "clip.mkv"), 0.8)
    plain = open

    def fail(file: object, *arguments: object, **options: object) -> object:
        opened = plain(file, *arguments, **options)  # type: ignore[call-overload]
        if file == str(path):
            opened.close()
            raise OSError(5, "Input/output error")
        return opened

    with open_source(path) as source:
        monkeypatch.setattr("builtins.open", fail)
        with pytest.raises(InputError, match=r"cannot be read any further \(Input/output error\)"):
            list(source.items())


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))
    with open_source(path) as source:
        items = source.items()
        next(items)
        path.unlink()
        assert sum(isinstance(item, av.VideoFrame) for item in items) == 29


def test_the_decoder_limits_the_frame_size(tmp_path: Path) -> None:
    container = open_container(str(make_clip(tmp_path / "clip.mp4", Clip(**SHORT))))
    assert MAX_PIXELS < 2**27
    assert container.options["max_pixels"] == str(MAX_PIXELS)
    container.close()
