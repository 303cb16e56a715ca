"""Pictures that become styles: the same as on the command line, limited, and kept while something needs them."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from pipeline.frames import Pixels
from pipeline.studio.pictures import styles
from pipeline.stylize.picture_style import predict_style
from pipeline.stylize.style import load_style_settings
from tests.support.studio import make_short_clip, order, studio, upload, wait_for


def stripes(height: int = 120, width: int = 160, *, mode: str = "RGB") -> Image.Image:
    """Red and blue stripes, slanted and of two widths."""
    y, x = np.mgrid[:height, :width]
    waves = (np.sin((x + 2 * y) / 7) + np.sin(x / 23)) / 2
    pixels = np.stack([128 + 120 * waves, 60 + 50 * np.cos(y / 11), 128 - 120 * waves], axis=2)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "folder"


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with studio(folder) as client:
        yield client


def send(client: httpx.Client, content: bytes, name: str = "stripes.png") -> httpx.Response:
    return client.post("/api/pictures", params={"name": name}, content=content)


def add(client: httpx.Client, content: bytes, name: str = "stripes.png") -> dict[str, Any]:
    answer = send(client, content, name)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def remove(client: httpx.Client, picture: str) -> None:
    assert client.delete(f"/api/pictures/{picture}").status_code == 200


def listed(client: httpx.Client) -> list[str]:
    return [each["picture"] for each in client.get("/api/pictures").json()["pictures"]]


def stored(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "picture-styles"))


def settings(name: str) -> dict[str, Any]:
    return {"styles": [{"name": name}], "stability": "none"}


def test_a_picture_is_a_style_the_same_as_on_the_command_line(
    client: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    content = encoded(stripes())
    style = add(client, content, "Evening Sea.png")
    assert style["title"] == "Evening Sea.png"
    assert style["source"] == "your picture, 160 x 120"
    assert listed(client)[0] == style["picture"]
    (tmp_path / "evening-sea.png").write_bytes(content)
    expected = predict_style(tmp_path / "evening-sea.png")
    kept = folder / "picture-styles" / style["picture"]
    loaded = load_style_settings(str(kept / "style.safetensors"))
    assert loaded.name == "evening-sea"
    for one, other in zip(loaded.start.style.tensors(), expected.style.tensors(), strict=True):
        assert one.equal(other)
    assert sorted(os.listdir(kept)) == ["picture.json", "style.safetensors", "thumbnail.jpg"], "not the picture"
    thumbnail = client.get(style["thumbnail"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(thumbnail.content)).size == (480, 270)
    remove(client, style["picture"])


def test_frames_and_renders_take_the_style_of_a_picture(client: httpx.Client, tmp_path: Path) -> None:
    style = add(client, encoded(stripes()), "my, sea: 0.5.png")
    clip = upload(client, make_short_clip(tmp_path / "square.mp4"))

    def preview(*names: str) -> Pixels:
        query = {"settings": json.dumps({"styles": [{"name": name} for name in names]})}
        answer = client.get(f"/api/uploads/{clip['upload']}/preview.jpg", params=query)
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)), np.int16)

    alone, other, blend = preview(style["name"]), preview("great-wave"), preview(style["name"], "great-wave")
    assert np.abs(alone - other).mean() > 10
    assert np.abs(blend - alone).mean() > 3
    assert np.abs(blend - other).mean() > 3
    blended = [{"name": style["name"], "weight": 0.7}, {"name": "great-wave", "weight": 0.3}]
    job = order(client, clip["upload"], styles=blended)
    assert job["style"] == "my-sea-0.5+great-wave"
    assert wait_for(client, job["job"], "done")["result_bytes"] > 0
    remove(client, style["picture"])


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif)


SENSIBLE = {
    "gray.png": encoded(stripes(mode="L")),
    "transparent.png": encoded(stripes(mode="RGBA")),
    "palette.gif": encoded(stripes(mode="P"), "GIF"),
    "print.tif": encoded(stripes(mode="CMYK"), "TIFF"),
    "animated.webp": encoded(stripes(), "WEBP", save_all=True, append_images=[stripes().rotate(90)], duration=40),
    "animated.png": encoded(stripes(), "PNG", save_all=True, append_images=[stripes().rotate(90)]),
    "scroll.png": encoded(stripes(64, 900)),
}


@pytest.mark.parametrize("name", SENSIBLE)
def test_unusual_pictures_become_styles(client: httpx.Client, name: str) -> None:
    style = add(client, SENSIBLE[name], name)
    assert style["title"] == name
    remove(client, style["picture"])


def test_a_turned_photo_is_described_upright(client: httpx.Client) -> None:
    style = add(client, turned(stripes()), "phone.jpg")
    assert style["source"] == "your picture, 120 x 160"
    remove(client, style["picture"])


def test_what_is_no_style_of_its_own_is_said(client: httpx.Client) -> None:
    plain = add(client, encoded(Image.new("RGBA", (500, 500))), "empty.png")
    assert plain["note"] == (
        "empty.png: the picture has one color, so the style is nearly flat; choose another one for strokes"
    )
    small = add(client, encoded(stripes()))
    assert "120 px" in small["note"]
    assert add(client, encoded(stripes(400, 400)))["note"] == ""
    for picture in listed(client):
        remove(client, picture)


BAD = {
    "dot.png": (encoded(Image.new("RGB", (1, 1))), "dot.png: 1x1 px is too small for a style image"),
    "vast.png": (
        encoded(Image.new("1", (12_000, 12_000))),
        "vast.png: 12000x12000 px are more than 128 megapixels; scale the picture down",
    ),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "drawing.svg: not an image that can be read"),
    "letter.jpg": (b"Dear browser, " * 50, "letter.jpg: not an image that can be read"),
    "half.jpg": (encoded(stripes(), "JPEG")[:900], "half.jpg: the image cannot be read"),
    "empty.png": (b"", "empty.png: not an image that can be read"),
    "../../etc/passwd": (b"", "../../etc/passwd: not an image that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_style_gets_one_line(client: httpx.Client, folder: Path, name: str) -> None:
    before = stored(folder)
    content, start = BAD[name]
    answer = send(client, content, name)
    assert answer.status_code == 422
    line = answer.json()["error"]
    assert line.startswith(start)
    assert "\n" not in line
    assert str(folder) not in line
    assert stored(folder) == before


def test_pictures_are_limited(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styles, "MOST_BYTES", 200_000)
    answer = send(client, bytes(300_000))
    assert answer.status_code == 413
    assert answer.json()["error"] == "stripes.png: has 0.3 MB, the limit is 0.2 MB; scale it down"
    assert client.post("/api/pictures", content=iter([b"x"])).status_code == 411
    monkeypatch.setattr(styles, "MOST_PICTURES", 0)
    answer = send(client, b"x")
    assert answer.status_code == 507
    assert answer.json()["error"] == "0 pictures are here already; remove some of them"
    monkeypatch.setattr(styles, "MOST_AT_ONCE", 0)
    assert send(client, b"x").status_code == 429


def test_another_page_adds_and_removes_nothing(client: httpx.Client) -> None:
    foreign = {"origin": "https://example.org"}
    assert client.post("/api/pictures", content=b"x", headers=foreign).status_code == 403
    assert client.delete(f"/api/pictures/{0:024x}", headers=foreign).status_code == 403


@pytest.mark.parametrize("picture", ["..", "%2e%2e%2ftoken", f"{0:024x}", "x" * 5000])
def test_an_identifier_is_no_path(client: httpx.Client, picture: str) -> None:
    for answer in (client.delete(f"/api/pictures/{picture}"), client.get(f"/api/pictures/{picture}/thumbnail.jpg")):
        assert answer.status_code in (404, 405)
        assert "\n" not in answer.json()["error"]


def test_a_picture_that_a_job_needs_stays_until_it_is_done(tmp_path: Path, folder: Path) -> None:
    clip = make_short_clip(tmp_path / "square.mp4")
    with studio(tmp_path / "studio") as client:
        style = add(client, encoded(stripes()))
        clip_id = upload(client, clip)["upload"]
        jobs = [order(client, clip_id, styles=[{"name": style["name"]}]) for _ in range(2)]
        remove(client, style["picture"])
        assert listed(client) == []
    assert stored(tmp_path / "studio") == [style["picture"]]
    with studio(tmp_path / "studio") as client:  # the jobs resume
        assert listed(client) == []
        for job in jobs:
            wait_for(client, job["job"], "done")
        again = add(client, encoded(stripes()))
        remove(client, again["picture"])  # deletes what nothing needs
        assert stored(tmp_path / "studio") == []


def test_a_job_whose_picture_was_removed_is_not_tried_again(tmp_path: Path) -> None:
    clip = make_short_clip(tmp_path / "square.mp4")
    with studio(tmp_path / "studio") as client:
        style = add(client, encoded(stripes()))
        clip_id = upload(client, clip)["upload"]
        first = order(client, clip_id)  # the second waits
        job = order(client, clip_id, styles=[{"name": style["name"]}])
        assert client.delete(f"/api/jobs/{job['job']}").json()["state"] == "cancelled"
        remove(client, style["picture"])
        answer = client.post(f"/api/jobs/{job['job']}/retry")
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("the picture of this style is no longer here; ")
        refused = client.post("/api/jobs", json={"upload": clip_id, "settings": settings(style["name"])})
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("the picture of this style is no longer here; ")
        client.delete(f"/api/jobs/{first['job']}")


def test_styles_are_listed_again_after_a_restart_the_newest_first(tmp_path: Path) -> None:
    with studio(tmp_path / "studio") as client:
        names = [add(client, encoded(stripes()), f"{number}.png")["picture"] for number in range(3)]
        client.delete(f"/api/pictures/{names[1]}")
        assert listed(client) == [names[2], names[0]]
    (tmp_path / "studio" / "picture-styles" / f"{1:024x}").mkdir()  # the studio was killed while it arrived
    with studio(tmp_path / "studio") as client:
        assert listed(client) == [names[2], names[0]]
        assert stored(tmp_path / "studio") == sorted([names[0], names[2]])
        newest = add(client, encoded(stripes()))
        assert listed(client) == [newest["picture"], names[2], names[0]]
