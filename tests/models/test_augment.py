"""Random styles as a transform of torchvision's v2; a tiny network, small images."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from models.augment import StyleAugment
from models.frame_graph import FrameGraph, zero_statistics
from models.registry import LoadedStyle, bundled, load
from tests.support.tiny import blobs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def styles(tiny_style: Path) -> list[LoadedStyle]:
    """Two styles of one tiny network."""
    loaded = load(str(tiny_style))
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        other = loaded.network.initial_style()
    return [loaded, LoadedStyle(loaded.network, other, loaded.metadata)]


def image(seed: int = 0, height: int = 36, width: int = 52) -> Tensor:
    return (blobs(1, height, width, seed=seed)[0] * 255).round().to(torch.uint8)


def always(styles: list[LoadedStyle], **settings: Any) -> StyleAugment:
    return StyleAugment(styles, **({"p": 1.0, "strength": 1.0} | settings))


def change(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().mean())


def test_full_strength_is_the_stylized_frame(styles: list[LoadedStyle]) -> None:
    one = styles[0]
    controls = (torch.zeros(()), torch.ones(()), torch.zeros(()))
    pixels = image().permute(1, 2, 0)
    expected, _ = FrameGraph(one.network)(pixels, one.style.tensors(), zero_statistics(one.network), *controls)
    found = always([one])(image())
    assert found.dtype == torch.uint8
    assert (found.permute(1, 2, 0).int() - expected.int()).abs().max() <= 1
    assert change(found, image()) > 5


def test_strength_and_probability(styles: list[LoadedStyle]) -> None:
    assert torch.equal(StyleAugment(styles, p=0)(image()), image())
    full, half = (always(styles[:1], strength=strength)(image()).float() for strength in (1.0, 0.5))
    assert (half - (full + image().float()) / 2).abs().max() <= 1.5
    torch.manual_seed(0)
    batch = torch.stack([image()] * 200)
    moved = (StyleAugment(styles[:1], p=0.3)(batch) != batch).flatten(1).any(dim=1)
    assert 40 < moved.sum() < 80
    strengths = {draw.strength for draw in StyleAugment(styles, strength=(0.2, 0.3)).make_params([batch])["draws"]}
    assert 0.2 <= min(strengths) < 0.22
    assert 0.28 < max(strengths) <= 0.3


def test_each_image_of_a_batch_has_its_own_style(styles: list[LoadedStyle]) -> None:
    torch.manual_seed(1)
    batch = tv_tensors.Image(torch.stack([image()] * 12))
    stylized = always(styles)(batch)
    assert isinstance(stylized, tv_tensors.Image)
    looks = {tuple(each.flatten().tolist()) for each in stylized}
    assert len(looks) == 2, "two styles at full strength"
    alone = [always([each])(image()) for each in styles]
    for each in stylized:
        assert min(int((each.int() - one.int()).abs().max()) for one in alone) <= 1


def test_a_video_has_one_style_and_a_batch_of_videos_many(styles: list[LoadedStyle]) -> None:
    torch.manual_seed(1)
    clip = torch.stack([image()] * 3)
    stylized = always(styles)(tv_tensors.Video(torch.stack([clip] * 8)))
    assert isinstance(stylized, tv_tensors.Video)
    assert stylized.shape == (8, 3, 3, 36, 52)
    for frames in stylized:
        assert (frames.int() - frames[:1].int()).abs().max() <= 1
    assert len({tuple(frames.flatten().tolist()) for frames in stylized}) == 2


def test_boxes_masks_and_labels_pass_untouched(styles: list[LoadedStyle]) -> None:
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[1, 2, 20, 30]]), format="XYXY", canvas_size=(36, 52))
    sample = {
        "image": tv_tensors.Image(image()),
        "boxes": boxes,
        "mask": tv_tensors.Mask(torch.ones(36, 52, dtype=torch.bool)),
        "label": torch.tensor(3),
        "name": "a photo",
    }
    result = v2.Compose([always(styles), v2.ToDtype(torch.float32, scale=True)])(sample)
    assert result["boxes"] is sample["boxes"]
    assert result["mask"] is sample["mask"]
    assert result["label"] is sample["label"]
    assert change(result["image"] * 255, image()) > 5


def test_a_seed_decides(styles: list[LoadedStyle]) -> None:
    batch = torch.stack([image(seed) for seed in range(6)])
    augment, results = StyleAugment(styles), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(augment(batch))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint16])
def test_any_type_of_pixels(dtype: torch.dtype, styles: list[LoadedStyle]) -> None:
    pixels = v2.functional.to_dtype(image(), dtype, scale=True)
    result = always(styles[:1])(pixels)
    assert result.dtype == dtype
    expected = always(styles[:1])(image()).float() / 255
    assert (v2.functional.to_dtype(result, torch.float32, scale=True) - expected).abs().max() < 0.01


def test_smaller_strokes_are_those_of_a_larger_image(styles: list[LoadedStyle]) -> None:
    usual, fine = (always(styles[:1], stroke_size=size)(image()) for size in (1.0, 0.5))
    assert fine.shape == usual.shape
    assert change(usual, fine) > 2


def test_black_and_flat_images_stay(styles: list[LoadedStyle]) -> None:
    for level in (0, 200):
        flat = torch.full((3, 36, 52), level, dtype=torch.uint8)
        assert torch.equal(always(styles)(flat), flat)


class Images(Dataset[Tensor]):
    """Eight images, augmented."""

    def __init__(self, augment: StyleAugment) -> None:
        self.augment = augment

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        result: Tensor = self.augment(image(index))
        return result


def test_a_copy_from_a_pickle_does_the_same(styles: list[LoadedStyle]) -> None:
    augment = StyleAugment(styles)
    copy = pickle.loads(pickle.dumps(augment))
    results = []
    for each in (augment, copy):
        torch.manual_seed(3)
        results.append(torch.stack([each(image(seed)) for seed in range(4)]))
    assert torch.equal(*results)


def test_workers_of_a_data_loader_repeat_with_a_seed(styles: list[LoadedStyle]) -> None:
    results = []
    for _ in range(2):
        loader = DataLoader(
            Images(StyleAugment(styles)), batch_size=4, num_workers=2, generator=torch.Generator().manual_seed(0)
        )
        results.append(torch.cat(list(loader)))
    assert torch.equal(*results)
    assert (results[0] != torch.stack([image(index) for index in range(8)])).any()


def test_wrong_arguments_and_images(styles: list[LoadedStyle]) -> None:
    for settings in ({"p": 1.5}, {"strength": (0.8, 0.2)}, {"strength": 2.0}, {"stroke_size": 0.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            StyleAugment(styles, **settings)
    with pytest.raises(ValueError, match="at least one style"):
        StyleAugment([])
    with pytest.raises(ValueError, match="no style is named"):
        StyleAugment(["nobody"])
    with pytest.raises(ValueError, match=r"v2\.RGB\(\)"):
        always(styles)(torch.zeros(1, 36, 52))
    with pytest.raises(ValueError, match=r"before v2\.Normalize"):
        always(styles)(torch.full((3, 36, 52), -1.0))
    with pytest.raises(TypeError, match="ToImage"):
        always(styles)({"name": "a photo"})


def test_the_gallery_is_the_default() -> None:
    augment = StyleAugment()
    assert augment.styles == tuple(bundled())
    assert "p=0.5" in repr(augment)


def test_the_example_of_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "augment.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    torch.manual_seed(0)
    result = names["train"](image(height=64, width=64))
    assert (result.shape, result.dtype) == ((3, 224, 224), torch.float32)
    assert result.min() < -0.5, "normalized"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(styles: list[LoadedStyle]) -> None:
    batch = torch.stack([image()] * 3)
    result = always(styles[:1])(batch.cuda())
    assert result.is_cuda
    assert (result.cpu().int() - always(styles[:1])(batch).int()).abs().max() <= 2
