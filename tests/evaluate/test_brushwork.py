"""Brushwork against its formula written out, and what it must and must not see."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from models.training.losses.loss_network import LossNetwork, load_loss_network
from pipeline.errors import InputError
from pipeline.evaluate.brushwork import Brushwork, BrushworkMetric, mean_brushwork
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluate import evaluate
from pipeline.evaluate.plot import draw_plot
from tests.support.media import Clip, make_clip
from tests.support.tiny import loss_network, loss_state

pytestmark = pytest.mark.usefixtures("one_thread")

Pixels = NDArray[np.uint8]
Gray = NDArray[np.float32]


def strokes(angle: float, period: float, *, height: int = 360, width: int = 420, seed: int = 0) -> Gray:
    """Stripes at an angle in degrees, in [0, 1], bent a little."""
    rows, columns = np.mgrid[:height, :width]
    bend = 4 * np.sin(columns / 50 + seed)
    phase = columns * np.cos(np.radians(angle)) + (rows + bend) * np.sin(np.radians(angle))
    return (0.5 + 0.5 * np.sin(2 * np.pi * phase / period)).astype(np.float32)


def colored(gray: Gray, dark: tuple[int, ...] = (20, 20, 60), light: tuple[int, ...] = (250, 240, 200)) -> Pixels:
    return (np.float32(dark) + gray[..., None] * (np.float32(light) - np.float32(dark))).round().astype(np.uint8)


def deep_state() -> dict[str, torch.Tensor]:
    """Random weights of a distilled VGG-19 with a few channels: it has relu4_1."""
    generator = torch.Generator().manual_seed(1)
    state = {"conv0.weight": torch.eye(3).view(3, 3, 1, 1), "conv0.bias": torch.zeros(3)}
    channels = 3
    for name in ("11", "12", "21", "22", "31", "32", "33", "34", "41"):
        state[f"conv{name}.weight"] = torch.randn(4, channels, 3, 3, generator=generator) / (3 * channels**0.5)
        state[f"conv{name}.bias"] = 0.1 * torch.rand(4, generator=generator)
        channels = 4
    return state


def deep_network() -> LossNetwork:
    return load_loss_network(deep_state())


def distances_written_out(image: Pixels, target: Pixels, scale: float) -> float:
    state = loss_state()

    def grams(pixels: Pixels) -> list[torch.Tensor]:
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        x = torch.from_numpy((gray - gray.mean()) / gray.std() * 0.2 + 0.5)[None, None].repeat(1, 3, 1, 1)
        x = x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=True)
        found = []
        for index in (0, 2, 5, 7, 10):
            x = F.max_pool2d(x, 2, 2, ceil_mode=True) if index in (5, 10) else x
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.relu(F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"]))
            if index in (5, 10):
                found.append(x.flatten(2)[0] @ x.flatten(2)[0].T / x.numel())
        return found

    pairs = zip(grams(image), grams(target), strict=True)
    return float(np.mean([float(((g - t) ** 2).sum() / (t**2).sum()) for g, t in pairs]))


def measured(original: Pixels, stylized: Pixels, painting: Pixels, *others: Pixels) -> Brushwork:
    found = mean_brushwork([BrushworkMetric(loss_network(), deep_network(), painting, others)(original, stylized)])
    assert found is not None
    return found


def test_brushwork_agrees_with_its_formula() -> None:
    original, stylized, painting = (colored(strokes(angle, period)) for angle, period in ((0, 90), (30, 14), (45, 12)))
    found = measured(original, stylized, painting)
    for size, scale in (("fine", 1.0), ("middle", 0.5), ("large", 0.25)):
        distance = distances_written_out(stylized, painting, scale)
        assert found.distance[size] == pytest.approx(distance, rel=0.01)
        expected = 1 - distance / distances_written_out(original, painting, scale)
        assert found.share[size] == pytest.approx(expected, abs=0.01)


def test_colors_contrast_and_size_do_not_count() -> None:
    original, painting = colored(strokes(0, 90)), colored(strokes(45, 12))
    same = colored(strokes(45, 12), (90, 60, 0), (120, 190, 90))
    larger = np.asarray(Image.fromarray(same).resize((840, 720), Image.Resampling.BICUBIC))
    for stylized in (same, larger):
        found = measured(original, stylized, painting)
        assert max(found.distance.values()) < 0.02
        assert min(found.share.values()) > 0.9
        assert found.structure is not None
        assert found.structure < 0.02


def test_a_recolored_frame_has_no_share() -> None:
    original, painting = strokes(0, 90), colored(strokes(45, 12))
    found = measured(colored(original), colored(original, (0, 40, 90), (230, 250, 120)), painting)
    assert max(map(abs, found.share.values())) < 0.05


def test_the_strokes_tell_which_style_image_it_is() -> None:
    original = colored(strokes(0, 90))
    images = [colored(strokes(45, 12)), colored(strokes(0, 5)), colored(strokes(90, 40))]
    for number, image in enumerate(images):
        stylized = colored(strokes((45, 0, 90)[number], (12, 5, 40)[number], seed=3), (0, 60, 0))
        others = [other for other in images if other is not image]
        assert (measured(original, stylized, image, *others).rank, len(others)) == (1, 2)
        wrong = measured(original, stylized, others[0], image, others[1])
        assert wrong.rank > 1
        assert wrong.among == 3


def test_the_mean_over_frames() -> None:
    painting, original = colored(strokes(45, 12)), colored(strokes(0, 90))
    metric = BrushworkMetric(loss_network(), None, painting)
    near, far = metric(original, painting), metric(original, original)
    found = mean_brushwork([near, far])
    assert found is not None
    assert found.structure is None
    assert found.share == {"fine": pytest.approx(0.5), "middle": pytest.approx(0.5), "large": pytest.approx(0.5)}
    assert mean_brushwork([]) is None


# --- the command's configuration ---


@pytest.fixture
def config(tmp_path: Path) -> EvaluateConfig:
    torch.save(loss_state(), tmp_path / "vgg.pth")
    torch.save(deep_state(), tmp_path / "deep.pth")
    for name, image in (("wave", strokes(45, 12)), ("dots", strokes(0, 5))):
        Image.fromarray(colored(image)).save(tmp_path / f"{name}.png")
    clip = str(make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2560, 512))))
    return EvaluateConfig(
        original=clip,
        stylized=clip,
        painting=tmp_path / "wave.png",
        among=[tmp_path / "dots.png"],
        loss_weights=tmp_path / "vgg.pth",
        structure_weights=tmp_path / "deep.pth",
    )


def test_evaluate_measures_brushwork(config: EvaluateConfig) -> None:
    brushwork = evaluate(config).brushwork
    assert brushwork is not None
    assert max(map(abs, brushwork.share.values())) < 1e-6, "the clip is its own original"
    assert brushwork.structure is not None
    assert brushwork.among == 2
    assert evaluate(replace(config, painting=None, among=())).brushwork is None


def test_weights_without_relu4_1_have_no_structure(config: EvaluateConfig) -> None:
    brushwork = evaluate(replace(config, structure_weights=None)).brushwork
    assert brushwork is not None
    assert brushwork.structure is None
    with pytest.raises(InputError, match=r"vgg\.pth.*relu4_1"):
        evaluate(replace(config, structure_weights=config.loss_weights))


def test_among_needs_a_painting(config: EvaluateConfig) -> None:
    with pytest.raises(ValueError, match="--painting"):
        replace(config, painting=None)


def test_the_plot_shows_the_shares() -> None:
    share = {"fine": 0.9, "middle": 0.5, "large": -0.4}
    with_bars = draw_plot([], Brushwork(share, share, None, 1, 1))
    assert with_bars.shape == (480, 1200, 3)
    blue = (np.abs(with_bars.astype(int) - (0x1F, 0x5F, 0xA8)) < 8).all(axis=2)[60:, 960:]
    heights = sorted(np.count_nonzero(blue, axis=0)[np.count_nonzero(blue, axis=0) > 20])
    assert heights[-1] / heights[0] == pytest.approx(0.9 / 0.4, rel=0.1)
