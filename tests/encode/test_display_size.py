from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.config import EncodeConfig
from pipeline.decode.source import open_source
from pipeline.encode.display_size import TITLE_PADDING, set_display_size
from pipeline.encode.planner import plan_output
from tests.support.clips.transcoding import transcode_file
from tests.support.media import Audio, Clip, contents, make_clip


@pytest.mark.parametrize(
    ("codec", "ending"),
    [
        *((codec, "mkv") for codec in ("h264", "h265", "vp9", "av1", "ffv1", "prores")),
        *[("vp9", "webm"), ("av1", "webm"), ("vp9", "mp4"), ("av1", "mp4"), ("prores", "mov")],
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(3, 2), Fraction(8, 9)])
def test_the_pixel_aspect_ratio_is_kept(tmp_path: Path, codec: str, ending: str, aspect: Fraction) -> None:
    clip = Clip(pts=(0, 512, 1024), width=128, height=72, sample_aspect_ratio=aspect, audio=[Audio()])
    source = make_clip(tmp_path / "in.mp4", clip)
    transcode_file(source, tmp_path / f"out.{ending}", codec=codec)
    after = contents(tmp_path / f"out.{ending}")
    assert float(after.sample_aspect_ratio) == pytest.approx(float(aspect), rel=0.01)
    assert (after.width, after.height) == (128, 72)
    assert len(after.times) == 3
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        assert "title" not in container.streams.video[0].metadata


@pytest.mark.parametrize("title", ["", "The picture", "Überlänge " * 20])
def test_nothing_else_of_the_header_changes(tmp_path: Path, title: str) -> None:
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w", metadata_errors="strict") as container:
        video = container.add_stream("libvpx-vp9", rate=30)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata["title"] = title + TITLE_PADDING
        container.metadata["title"] = "A film"
        container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(video.encode(None))
    size = path.stat().st_size
    before = path.read_bytes()
    set_display_size(str(path), 96, 48)
    assert path.stat().st_size == size
    changed = [place for place, (a, b) in enumerate(zip(before, path.read_bytes(), strict=True)) if a != b]
    assert 0 < changed[0] < changed[-1] < 1500
    with av.open(str(path), options={"err_detect": "crccheck+explode"}) as container:
        video = container.streams.video[0]
        assert video.metadata.get("title", "") == title
        assert container.metadata["title"] == "A film"
        assert video.sample_aspect_ratio == Fraction(3, 2)
        assert len(list(container.decode(video=0))) == 1


def test_a_file_without_room_is_unchanged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no track with room"):
        set_display_size(str(path), 96, 48)
    (tmp_path / "text.mkv").write_text("no Matroska")
    with pytest.raises(ValueError, match=r"not a Matroska|not an EBML"):
        set_display_size(str(tmp_path / "text.mkv"), 96, 48)
    assert path.read_bytes() == before


def test_a_pipe_that_loses_the_aspect_ratio_has_a_notice(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 512), sample_aspect_ratio=Fraction(3, 2)))
    with open_source(source) as opened:
        lost = "the pixel aspect ratio is lost"
        assert any(lost in line for line in plan_output(opened, "-", EncodeConfig(codec="ffv1")).notices)
        assert not any(lost in line for line in plan_output(opened, "-", EncodeConfig(codec="h264")).notices)
