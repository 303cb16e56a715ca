"""Network addresses: secrets are redacted, and may be kept in files."""

from pathlib import Path

import pytest

from pipeline.live.capture.connection.address import read_address, redacted


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/x?password=secret", "http://h"),
        ("rtsp://user:secret@host:554/secret", "rtsp://host:554"),
        ("rtsp://user:sec#ret@host", "rtsp://host"),
        ("rtsp://user:12#34@host", "rtsp://..."),
        ("http://host/x?mail=me@secret", "http://..."),
        ("rtmp://host/SECRET", "rtmp://host"),
        ("http://[::1]:80/secret", "http://[::1]:80"),
        ("http://[bad/x", "http://[bad"),
        ("udp://239.0.0.1:port", "udp://239.0.0.1:port"),
        ("me:secret@host/secret", "host"),
        ("file.mkv", "file.mkv"),
        ("", ""),
    ],
)
def test_messages_show_no_secret(url: str, name: str) -> None:
    assert redacted(url) == name


def test_an_address_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "address"
    file.write_text(" rtmp://host/app/key\nmore\n")
    assert read_address(f"@{file}") == "rtmp://host/app/key"
    assert read_address("udp://host:1") == "udp://host:1"


def test_a_wrong_address_file_is_an_error(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for wrong in (f"@{binary}", f"@{tmp_path}", f"@{tmp_path}/none", "@/dev/null"):
        with pytest.raises(ValueError, match=r"cannot be read|is empty"):
            read_address(wrong)
