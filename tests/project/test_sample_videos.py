"""The sample clips, and the exact flow and occlusions that tests and measurements rely on."""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

import sample_videos
from sample_videos import CLIPS
from sample_videos.renderer.scenes import FPS, FRAMES, HEIGHT, WIDTH, Scene, scene

PAIRS = [(80, 81), (60, 70), (100, 90)]


@pytest.fixture(params=CLIPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[int, int]:
    index, other = request.param
    return index, other


def decoded(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(
                format="rgb24",
                src_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
            )


def look_up(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``picture`` at the places to which ``flow`` takes each pixel."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return np.asarray(cv2.remap(picture, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR))


def warp_error(scenery: Scene, index: int, other: int, flow: np.ndarray) -> float:
    """Mean absolute error, 0 to 255, of frame ``other`` warped to ``index``, where it is visible."""
    visible = ~scenery.occlusion(index, other)
    warped = look_up(scenery.frame(other).astype(np.float32), flow)
    return float(np.abs(warped - scenery.frame(index))[visible].mean())


def test_clip_has_the_promised_form(name: str) -> None:
    path = sample_videos.clip(name)
    assert path.stat().st_size < 1_000_000
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        assert (context.name, context.pix_fmt, video.width, video.height) == ("h264", "yuv420p", WIDTH, HEIGHT)
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert video.average_rate == FPS
        times = [frame.pts * frame.time_base for frame in container.decode(video)]
    assert times == [Fraction(index, FPS) for index in range(FRAMES)]
    head = path.read_bytes()[:100_000]
    assert 0 <= head.find(b"moov") < head.find(b"mdat"), "the index must come first, so that browsers start at once"


def test_clip_has_a_stereo_sound_track(name: str) -> None:
    with av.open(str(sample_videos.clip(name))) as container:
        audio = container.streams.audio[0]
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 48_000, 2)
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio)], axis=1)
    assert samples.shape[1] / 48_000 == pytest.approx(FRAMES / FPS, abs=0.05)
    assert np.abs(samples).max() < 1
    left, right = samples
    assert left.std() > 0.02
    assert right.std() > 0.02
    assert np.abs(left - right).max() > 0.05
    second = samples[:, : 5 * 48_000].reshape(2, 5, 48_000).std(axis=2)
    assert second.min() > 0.01, "silent for a second"


def test_clip_shows_the_scene(name: str) -> None:
    for index, picture in enumerate(decoded(sample_videos.clip(name))):
        if index in (0, 89, 179):
            error = picture.astype(np.float64) - scene(name).frame(index)
            assert 10 * np.log10(255**2 / np.mean(error**2)) > 31
            assert np.abs(error.mean(axis=(0, 1))).max() < 1.5, "a wrong matrix or range shifts the colors"


def test_frames_are_reproducible_and_move(name: str) -> None:
    first, again, later = (scene(name).frame(index) for index in (30, 30, 31))
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - later).mean() > 0.5


def test_flow_explains_the_pictures(name: str, pair: tuple[int, int]) -> None:
    index, other = pair
    flow = scene(name).flow(index, other)
    assert flow.shape == (HEIGHT, WIDTH, 2)
    assert flow.dtype == np.float32
    error = warp_error(scene(name), index, other, flow)
    assert error < 3
    assert error < 0.5 * warp_error(scene(name), index, other, np.zeros_like(flow))
    assert error < 0.5 * warp_error(scene(name), index, other, -flow)
    assert error < warp_error(scene(name), index, other, flow + np.float32(0.3)), "off by a fraction of a pixel"


def test_flow_to_the_same_frame_is_zero(name: str) -> None:
    assert np.abs(scene(name).flow(50, 50)).max() < 1e-3
    assert not scene(name).occlusion(50, 50).any()


def test_flow_back_undoes_flow_forth(name: str, pair: tuple[int, int]) -> None:
    index, other = pair
    forth, back = scene(name).flow(index, other), scene(name).flow(other, index)
    visible = ~scene(name).occlusion(index, other)
    error = np.linalg.norm(forth + look_up(back, forth), axis=2)[visible]
    assert np.median(error) < 1e-3
    assert np.mean(error > 0.5) < 0.06, "only where the picture of a layer's edge is interpolated"


def test_occlusion_marks_what_the_flow_cannot_explain(name: str, pair: tuple[int, int]) -> None:
    index, other = pair
    hidden, flow = scene(name).occlusion(index, other), scene(name).flow(index, other)
    assert hidden.shape == (HEIGHT, WIDTH)
    assert hidden.dtype == np.bool_
    assert 0.001 < hidden.mean() < 0.35
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    outside = (x < -0.6) | (y < -0.6) | (x > WIDTH - 0.4) | (y > HEIGHT - 0.4)
    assert hidden[outside].all()
    inside = (x > 0) & (y > 0) & (x < WIDTH - 1) & (y < HEIGHT - 1)
    covered = hidden & inside
    assert covered.any()
    warped = look_up(scene(name).frame(other).astype(np.float32), flow)
    error = np.abs(warped - scene(name).frame(index)).mean(axis=2)
    assert error[covered].mean() > 5 * error[~hidden & inside].mean()


def test_layers_move_at_many_speeds_and_on_their_own(name: str) -> None:
    owner, flow = scene(name).owner(90), scene(name).flow(90, 91)
    sizes = np.bincount(owner.ravel(), minlength=len(scene(name).layers))
    speeds = {round(float(np.median(flow[owner == number][:, 0])), 1) for number in np.flatnonzero(sizes > 300)}
    assert len(speeds) >= 4
    paths = [layer.path for layer in scene(name).layers]
    assert sum(path(1.0) != path(0.0) for path in paths) >= 2


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="harbor, street"):
        sample_videos.clip("beach")
    with pytest.raises(ValueError, match="harbor, street"):
        scene("beach")


def test_import_is_cheap() -> None:
    code = "import sys, sample_videos; print(sorted({'cv2', 'av', 'numpy', 'torch'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
