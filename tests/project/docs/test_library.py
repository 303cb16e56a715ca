"""flowbrush as a library: the examples in the docs, and errors."""

import math
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

import cli
import models.engines.capabilities
import pipeline
from pipeline import PipelineError, StylizeConfig, stylize_clip, stylize_frames
from pipeline.errors import InputError
from tests.support.media import Clip, contents, make_clip, moving_square
from tests.support.networks.pictures import write_picture

ROOT = Path(cli.__file__).parent
PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")


def examples() -> list[str]:
    """Return the Python blocks of README.md and docs/python.md, each once."""
    pages = (ROOT / name for name in ("README.md", "docs/python.md"))
    blocks = (re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL) for page in pages)
    return list(dict.fromkeys(chain.from_iterable(blocks)))


def test_the_docs_show_each_way() -> None:
    shown = "\n".join(examples())
    for name in ("stylize_clip", "stylize_folder", "stylize_image", "stylize_frames"):
        assert f"{name}(" in shown
    for example in examples():
        assert len([line for line in example.splitlines() if line.strip()]) <= 5


@pytest.mark.parametrize("example", examples(), ids=lambda text: re.search(r"stylize_\w+", text)[0])  # type: ignore[index]
def test_the_code_in_the_docs_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["eager"])
    (tmp_path / "clips").mkdir()
    for name in ("photo.jpg", "sky.png"):
        Image.fromarray(moving_square(0)).save(tmp_path / name)
    short = Clip(pts=range(0, 2560, 512))
    for name in ("holiday.mp4", "clips/a.mp4", "clips/b.mkv"):
        make_clip(tmp_path / name, short)
    shown: list[Any] = []
    arrays = [moving_square(number) for number in range(3)]
    exec(example, {"frames": arrays, "show": shown.append, "print": lambda *values: shown.append(values)})
    if "stylize_clip" in example:
        assert len(contents(tmp_path / "out.mp4").times) == shown[0][0] == 5
    elif "stylize_folder" in example:
        assert shown[0][:2] == (4, 0)
        assert len(list((tmp_path / "stylized").glob("*_*.m*"))) == 4
        assert contents(tmp_path / "stylized" / "a_great-wave.mp4").height == 360
    elif "stylize_image" in example:
        assert shown == [(64, 48, 8)]
        assert (tmp_path / "painted.png").is_file()
    else:
        assert [frame.shape for frame in shown] == [(48, 64, 3)] * 3
        difference = [np.abs(a.astype(int) - b).mean() for a, b in zip(shown, arrays, strict=True)]
        assert min(difference) > 3


def test_frames_are_read_as_they_are_needed() -> None:
    arrays = [moving_square(number) for number in range(8)]

    def endless() -> Iterator[Any]:
        yield from arrays
        raise AssertionError("more frames were read than needed")

    stylized = stylize_frames(endless(), PLAIN)
    first = next(stylized)
    stylized.close()  # type: ignore[attr-defined]
    assert np.array_equal(first, next(stylize_frames(iter(arrays), PLAIN)))
    deep = [frame.astype(np.uint16) * 257 for frame in arrays[:2]]
    assert [frame.dtype.name for frame in stylize_frames(deep, PLAIN)] == ["uint16"] * 2
    assert list(stylize_frames([], PLAIN)) == []


def test_frames_may_come_in_one_buffer_as_a_view_or_in_another_byte_order() -> None:
    arrays = [moving_square(number) for number in range(6)]
    expected = list(stylize_frames(arrays, PLAIN))

    def refilled() -> Iterator[Any]:
        buffer = np.empty_like(arrays[0])
        for frame in arrays:
            buffer[...] = frame
            yield buffer

    mirrored = [np.ascontiguousarray(frame[..., ::-1]) for frame in arrays]
    for frames in (refilled(), (frame[..., ::-1] for frame in mirrored)):
        stylized = list(stylize_frames(frames, PLAIN))
        assert all(np.array_equal(one, other) for one, other in zip(stylized, expected, strict=True))
    deep = [frame.astype(np.uint16) * 257 for frame in arrays[:3]]
    big_endian = list(stylize_frames((frame.astype(">u2") for frame in deep), PLAIN))
    for one, other in zip(big_endian, stylize_frames(deep, PLAIN), strict=True):
        assert one.dtype == np.uint16
        assert np.array_equal(one, other)


def test_frames_take_the_style_of_a_picture(tmp_path: Path, any_picture: Path) -> None:
    picture = str(write_picture(tmp_path / "a.png"))
    frames = [moving_square(number) for number in range(2)]
    of_picture, of_file = (
        list(stylize_frames(frames, StylizeConfig(**style, engine="eager", device="cpu")))
        for style in ({"style_image": picture}, {"style": picture})
    )
    assert np.array_equal(of_picture, of_file)
    bundled = list(stylize_frames(frames, StylizeConfig(style="great-wave", engine="eager", device="cpu")))
    assert np.abs(of_picture[1].astype(int) - bundled[1]).mean() > 2
    with pytest.raises(InputError, match="no such file"):
        next(stylize_frames(frames, str(tmp_path / "none.jpg")))


def test_an_exception_of_the_frames_comes_after_the_frames_before_it() -> None:
    arrays = [moving_square(number) for number in range(3)]
    expected = list(stylize_frames(arrays, PLAIN))

    def breaking() -> Iterator[Any]:
        yield from arrays
        raise OSError("the camera is lost")

    for frames, reason in ((breaking(), "camera is lost"), ([*arrays, arrays[0][:10]], "the first was")):
        stylized = stylize_frames(frames, PLAIN)
        results = [next(stylized) for _ in arrays]
        assert all(np.array_equal(one, other) for one, other in zip(results, expected, strict=True))
        with pytest.raises((OSError, ValueError), match=reason):
            next(stylized)


def test_errors_have_the_right_type(tmp_path: Path) -> None:
    frame = moving_square(0)
    for wrong in ([frame[..., :1]], [frame.astype(float)], [frame, frame[:10]], [frame[:0]], [None]):
        with pytest.raises(ValueError, match="a frame is"):
            list(stylize_frames(wrong, PLAIN))
    with pytest.raises(ValueError, match="style_end"):
        stylize_frames([frame], StylizeConfig(style="great-wave", style_end="minotaur"))
    for fps in (0, -5, math.inf, math.nan):
        with pytest.raises(ValueError, match="fps must be a number above 0"):
            stylize_frames([frame], PLAIN, fps=fps)
    with pytest.raises(PipelineError, match="no such file"):
        stylize_clip(tmp_path / "none.mp4", tmp_path / "out.mp4", "great-wave")
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        _ = pipeline.stylise  # type: ignore[attr-defined]
    assert all(getattr(pipeline, name) is not None for name in pipeline.__all__)
    assert {kind.__name__ for kind in get_args(pipeline.Event)} <= set(pipeline.__all__)


def test_importing_the_library_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, pipeline; print([name for name in ('torch', 'av', 'cv2', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
