"""Uploads: stored in pieces, checked like a local file, limited, and deleted when nobody needs them."""

import asyncio
import io
import os
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline.studio.answers import RequestError
from pipeline.studio.render import arrival, routes
from pipeline.studio.render import uploads as uploads_module
from pipeline.studio.render.space import Space
from pipeline.studio.render.stills import Stills
from pipeline.studio.render.uploads import MOST_UPLOADS, UNUSED_SECONDS, Upload, Uploads
from tests.support.studio import make_short_clip, order, studio, upload, wait_for
from tests.support.studio.asynchronous import run_async

SETTINGS = '{"styles": [{"name": "starry-night"}]}'


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_short_clip(tmp_path_factory.mktemp("clip") / "square.mp4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "folder"


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with studio(folder, max_upload=2**20, max_disk=2**22) as client:
        yield client


def stored(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "uploads"))


def picture(answer: httpx.Response) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_an_upload_is_described(client: httpx.Client, clip: Path) -> None:
    facts = upload(client, clip, "my clip.mp4")
    assert {name: facts[name] for name in ("name", "width", "height", "frames", "has_audio")} == {
        "name": "my clip.mp4",
        "width": 160,
        "height": 90,
        "frames": 30,
        "has_audio": True,
    }
    assert facts["seconds"] == pytest.approx(1.0, abs=0.1)
    assert facts["fps"] == pytest.approx(30, abs=2)


def test_a_frame_and_its_stylized_preview(client: httpx.Client, clip: Path) -> None:
    at = f"/api/uploads/{upload(client, clip)['upload']}"
    original = picture(client.get(f"{at}/frame.jpg", params={"time": "0.5"}))
    assert original.shape == (90, 160, 3)
    stylized = picture(client.get(f"{at}/preview.jpg", params={"time": "0.5", "settings": SETTINGS}))
    assert stylized.shape == original.shape
    assert np.abs(stylized.astype(int) - original).mean() > 20
    other = picture(client.get(f"{at}/frame.jpg", params={"time": "0"}))
    assert np.abs(other.astype(int) - original).mean() > 3, "the square has moved"
    weak = picture(
        client.get(f"{at}/preview.jpg", params={"time": "0.5", "settings": SETTINGS.replace("}]", '}], "strength": 0')})
    )
    assert np.abs(weak.astype(int) - original).mean() < 5


@pytest.mark.parametrize("at", ["1", "3.5", "10000000"])
def test_after_the_end_the_last_frame_is_shown(client: httpx.Client, clip: Path, at: str) -> None:
    address = f"/api/uploads/{upload(client, clip)['upload']}/frame.jpg"
    assert picture(client.get(address, params={"time": at})).shape == (90, 160, 3)


@pytest.mark.parametrize("at", ["-1", "nan", "inf", "x", "1e300"])
def test_a_time_is_a_number(client: httpx.Client, clip: Path, at: str) -> None:
    answer = client.get(f"/api/uploads/{upload(client, clip)['upload']}/frame.jpg", params={"time": at})
    assert answer.status_code == 400
    assert "seconds" in answer.json()["error"]


@pytest.mark.parametrize(
    "settings", ["", "x", "[]", "{}", '{"styles": [{"name": "../x.safetensors"}]}', '{"styles": 5}', "[" * 9000]
)
def test_settings_of_a_stranger_are_refused_by_one_line(client: httpx.Client, clip: Path, settings: str) -> None:
    address = f"/api/uploads/{upload(client, clip)['upload']}/preview.jpg"
    answer = client.get(address, params={"settings": settings})
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("content", [b"not a clip", b"", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"\0" * 9999])
def test_what_is_not_a_clip_gets_the_line_of_the_command_line(
    client: httpx.Client, folder: Path, content: bytes
) -> None:
    before = stored(folder)
    answer = client.post("/api/uploads", params={"name": "list.mp4"}, content=content)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("list.mp4: ")
    assert str(folder) not in answer.text
    assert stored(folder) == before


def test_a_clip_beyond_the_limit_is_refused_before_it_arrives(client: httpx.Client, folder: Path) -> None:
    before = stored(folder)
    answer = client.post("/api/uploads", params={"name": "long.mp4"}, content=bytes(2**20 + 1))
    assert answer.status_code == 413
    assert "--max-upload" in answer.json()["error"]
    assert stored(folder) == before


def test_an_upload_that_does_not_say_its_size_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/uploads", params={"name": "a.mp4"}, content=iter([b"x"]))
    assert answer.status_code == 411


def test_a_full_folder_is_said_with_what_to_do(tmp_path: Path, clip: Path) -> None:
    size = clip.stat().st_size
    with studio(tmp_path / "full", max_disk=size + 2000) as client:
        upload(client, clip)
        answer = client.post("/api/uploads", params={"name": "b.mp4"}, content=clip.read_bytes())
        assert answer.status_code == 507
        assert "remove finished clips" in answer.json()["error"]


def test_a_tab_that_closes_during_an_upload_leaves_nothing(client: httpx.Client, folder: Path) -> None:
    before = stored(folder)
    parts = urlsplit(str(client.base_url))
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        head = f"POST /api/uploads?name=a.mp4 HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: http://{parts.netloc}\r\n"
        connection.sendall(f"{head}Cookie: {cookie}\r\nContent-Length: 100000\r\n\r\n".encode() + bytes(50_000))
        _wait_until(lambda: len(stored(folder)) > len(before))
    _wait_until(lambda: stored(folder) == before)


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\nb\x1b[31m.mp4", "x" * 5000 + ".mp4", "", ".mp4", "☃ 🎬.mp4", "a/b.mp4"]
)
def test_names_of_strangers_are_only_names(client: httpx.Client, folder: Path, clip: Path, name: str) -> None:
    answer = client.post("/api/uploads", params={"name": name}, content=clip.read_bytes())
    assert answer.status_code == 201, answer.text
    facts = answer.json()
    assert len(facts["name"]) <= 200
    assert not {"\n", "\x1b"} & set(facts["name"])
    files = os.listdir(folder / "uploads" / facts["upload"])
    assert all(file in ("upload.json", "clip", "clip.mp4") for file in files)
    client.delete(f"/api/uploads/{facts['upload']}")


def test_a_clip_that_is_no_longer_needed_is_deleted(client: httpx.Client, folder: Path, clip: Path) -> None:
    facts = upload(client, clip)
    assert facts["upload"] in stored(folder)
    assert client.delete(f"/api/uploads/{facts['upload']}").status_code == 200
    assert facts["upload"] not in stored(folder)
    answer = client.get(f"/api/uploads/{facts['upload']}/frame.jpg")
    assert answer.status_code == 404
    assert "upload it again" in answer.json()["error"]


@pytest.mark.parametrize("upload_id", ["..", "%2e%2e", "x", "../jobs", "0" * 24])
def test_an_identifier_is_no_path(client: httpx.Client, upload_id: str) -> None:
    assert client.get(f"/api/uploads/{upload_id}/frame.jpg").status_code == 404


def test_clips_without_a_job_are_deleted_after_an_hour(tmp_path: Path) -> None:
    names = ["0" * 24, "1" * 24, "2" * 24]
    for name in names[:2]:
        _store(tmp_path / name)
    (tmp_path / names[2]).mkdir(mode=0o700)  # the studio was killed while it arrived
    now = [0.0]
    uploads = Uploads(tmp_path, Space(tmp_path, 10**9), Stills("cpu"), most_bytes=1, clock=lambda: now[0])
    assert sorted(os.listdir(tmp_path)) == names[:2]
    now[0] = UNUSED_SECONDS + 1
    uploads.remove_unused(needed=names[:1])
    assert os.listdir(tmp_path) == names[:1]


def test_a_running_studio_looks_for_clips_that_nobody_needs(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(uploads_module, "UNUSED_SECONDS", 0.5)
    with studio(tmp_path / "studio") as client:
        upload(client, clip)
        _wait_until(lambda: stored(tmp_path / "studio") == [])


class KnownFacts:
    """In place of the process that reads clips."""

    async def probe(self, path: str, name: str) -> dict[str, object]:
        return {"width": 16, "height": 16, "frames": 1, "seconds": 1.0, "fps": 1.0, "has_audio": False}


async def pieces(*contents: bytes, pause_seconds: float = 0.0) -> AsyncIterator[bytes]:
    for content in contents:
        yield content
        await asyncio.sleep(pause_seconds)


def open_files() -> int:
    """Return how many files this process has open, deleted ones included."""
    return psutil.Process().num_fds() if os.name == "posix" else 0


def receive(folder: Path, size: int, body: AsyncIterator[bytes], limit: int = 10**6) -> Upload:
    """Store what arrives in ``folder`` with a limit of the disk space; an upload that fails leaves nothing."""
    uploads = Uploads(folder, Space(folder, limit), cast("Stills", KnownFacts()), most_bytes=100)

    async def run() -> Upload:
        try:
            return await uploads.receive("a.mp4", size, body)
        finally:
            await cast("AsyncGenerator[bytes]", body).aclose()

    before, files_before = os.listdir(folder), open_files()
    try:
        return run_async(run())
    except RequestError:
        assert os.listdir(folder) == before
        assert open_files() <= files_before, "an open file that is deleted keeps its place on the disk"
        raise


def test_what_arrives_is_stored_byte_by_byte(tmp_path: Path) -> None:
    facts = receive(tmp_path, 5, pieces(b"12", b"345"))
    assert (tmp_path / facts.upload / "clip.mp4").read_bytes() == b"12345"


@pytest.mark.parametrize(("body", "reason"), [(b"123456", "longer than announced"), (b"1234", "ended early")])
def test_the_announced_size_is_not_believed(tmp_path: Path, body: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=f"a.mp4: .*{reason}; upload it again"):
        receive(tmp_path, 5, pieces(body))


def test_an_upload_from_which_nothing_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "IDLE_SECONDS", 0.05)
    with pytest.raises(RequestError, match=r"nothing has arrived for 0\.05 s; upload it again"):
        receive(tmp_path, 5, pieces(b"1", b"2345", pause_seconds=30))


def test_the_number_of_clips_is_limited(tmp_path: Path) -> None:
    for number in range(MOST_UPLOADS):
        _store(tmp_path / f"{number:024x}")
    with pytest.raises(RequestError, match="200 clips are here already; remove finished ones"):
        receive(tmp_path, 5, pieces(b"12345"))


def test_space_is_promised_to_uploads_that_have_not_arrived(tmp_path: Path) -> None:
    space = Space(tmp_path, 100)
    with space.promised(60):
        space.check(40)
        with pytest.raises(RequestError, match="remove finished clips"), space.promised(50):
            pass
    with space.promised(100):
        pass


def test_what_has_arrived_is_counted_once(tmp_path: Path) -> None:
    """Counted twice, an upload could end a render for want of disk space that is there."""
    space = Space(tmp_path, 4 * 2**20)
    uploads = Uploads(tmp_path, space, cast("Stills", KnownFacts()), most_bytes=2**22)

    async def body() -> AsyncIterator[bytes]:
        yield bytes(2**21)
        yield bytes(2**20)
        space.check(2**20)
        with pytest.raises(RequestError):
            space.check(2**20 + 1)

    run_async(uploads.receive("a.mp4", 3 * 2**20, body()))


def _store(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "clip.mp4").write_bytes(b"x")
    facts = '"bytes": 1, "width": 16, "height": 16, "frames": 1, "seconds": 1.0, "fps": 1.0, "has_audio": false'
    (folder / "upload.json").write_text(f'{{"upload": "{folder.name}", "name": "a", "file": "clip.mp4", {facts}}}')


def test_clips_and_results_are_for_this_user_alone(client: httpx.Client, folder: Path, clip: Path) -> None:
    job = order(client, upload(client, clip)["upload"])
    wait_for(client, job["job"], "done")
    for path in (folder, folder / "uploads", folder / "jobs" / job["job"]):
        assert path.stat().st_mode & 0o077 == 0


def test_thumbnails_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    with studio(tmp_path / "studio") as client:
        styles = client.get("/api/studio").json()["styles"]
        assert styles[0]["name"] == "great-wave"
        assert all(style["title"] for style in styles)
        (comic,) = (style for style in styles if style["name"] == "comic")
        assert (comic["title"], comic["source"]) == ("Comic", "City at Dusk, drawn by code, 2026")
        thumbnail = styles[0]["thumbnail"]
        assert picture(client.get(thumbnail)).shape == (270, 480, 3)
        (file,) = (tmp_path / "cache" / "thumbnails").glob("great-wave-*.jpg")
        Image.new("RGB", (8, 8)).save(file, "JPEG")
        assert picture(client.get(thumbnail)).shape == (8, 8, 3)
        assert client.get("/api/styles/none.jpg").status_code == 404
        last = tmp_path / "cache" / "thumbnails"
        _wait_until(lambda: len(list(last.glob("*.jpg"))) == len(styles))  # without being asked for
