"""The discriminator of patches, on images made on the spot."""

import pytest
import torch
from torch import Tensor

from models.training.data.content import style_image_at
from models.training.losses.adversary import PATCH_PX, Adversary, PatchDiscriminator
from tests.support.tiny import blobs, stripes

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


def make_adversary(*images: Tensor) -> Adversary:
    generator = torch.Generator().manual_seed(0)
    return Adversary(images or [style_image_at(stripes(), 80)], CPU, generator, seed=0, uses_autocast=False)


def frames(seed: int = 0) -> Tensor:
    return blobs(2, 64, 64, seed=seed)


def test_a_score_sees_a_patch() -> None:
    discriminator = PatchDiscriminator().eval()
    images = blobs(1, 128, 128).requires_grad_()
    scores = discriminator(images)
    scores[0, 0, 5, 5].backward()
    assert images.grad is not None
    seen = images.grad[0].abs().amax(dim=0) > 0
    assert int(seen.any(dim=0).sum()) == int(seen.any(dim=1).sum()) == PATCH_PX
    assert discriminator(blobs(1, PATCH_PX, PATCH_PX)).numel() >= 1


def test_it_learns_to_tell_the_style_image_from_frames() -> None:
    adversary = make_adversary()
    first = adversary.learn(frames(), 0)
    losses = [adversary.learn(frames(seed), 0) for seed in range(1, 60)]
    assert losses[-1] < 0.5 * first
    crop = style_image_at(stripes(), 80)[..., :64, :64]
    unseen = frames(99)
    assert adversary.loss(crop, 0) < adversary.loss(unseen, 0) - 0.5
    assert adversary.loss(crop, 0) < 0, "what deceives it costs nothing"


def test_gradients_reach_the_frames_alone() -> None:
    adversary = make_adversary()
    adversary.learn(frames(), 0)
    before = {name: tensor.clone() for name, tensor in adversary.tensors().items()}
    stylized = frames().requires_grad_()
    adversary.loss(stylized, 0).backward()
    assert stylized.grad is not None
    assert stylized.grad.abs().max() > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in adversary.tensors().items())
    adversary.learn(stylized, 0)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in adversary.tensors().items())


def test_frames_move_towards_the_style_image() -> None:
    adversary = make_adversary()
    for seed in range(40):
        adversary.learn(frames(seed), 0)
    picture = frames(99).requires_grad_()
    optimizer = torch.optim.Adam([picture], 0.02)
    before = float(adversary.loss(picture.detach(), 0))
    for _ in range(20):
        optimizer.zero_grad()
        adversary.loss(picture, 0).backward()
        optimizer.step()
    assert float(adversary.loss(picture.detach(), 0)) < before - 0.5


def test_a_style_image_smaller_than_the_frames() -> None:
    small = make_adversary(style_image_at(stripes(50, 60), 50))
    assert small.learn(frames(), 0) > 0
    with pytest.raises(ValueError, match="smaller than 46 px"):
        make_adversary(torch.zeros(1, 3, 45, 80))


def test_what_is_restored_learns_the_same() -> None:
    first, second = make_adversary(), make_adversary()
    first.learn(frames(), 0)
    second.load_tensors(first.tensors())
    second._generator.set_state(first._generator.get_state())
    assert first.learn(frames(1), 0) == second.learn(frames(1), 0)
    assert first.learn(frames(2), 0) == second.learn(frames(2), 0)
    with pytest.raises(ValueError, match="missing"):
        make_adversary().load_tensors(
            {name: tensor for name, tensor in first.tensors().items() if not name.endswith("optimizer.0.exp_avg")}
        )
