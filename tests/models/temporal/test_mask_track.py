"""Masks carried along a known flow."""

import torch

from models.temporal.mask_track import Track, blended

HEIGHT, WIDTH = 40, 60
LUMA = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)


def uniform(dx: float, dy: float) -> torch.Tensor:
    return torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH).clone()


def box(left: int, top: int, scale: int = 1) -> torch.Tensor:
    mask = torch.zeros(1, 1, HEIGHT * scale, WIDTH * scale)
    mask[..., top * scale : (top + 10) * scale, left * scale : (left + 10) * scale] = 255
    return mask


def test_a_key_frame_has_its_own_mask() -> None:
    key = torch.rand(1, 1, 77, 131) * 255
    torch.testing.assert_close(Track.at_key(HEIGHT, WIDTH).mask(key), key, atol=0.01, rtol=0)


def test_a_mask_moves_with_the_picture_and_stays_sharp() -> None:
    track = Track.at_key(HEIGHT, WIDTH)
    for _ in range(40):  # each step samples between pixels
        track = track.carried(uniform(-0.5, 0.25), uniform(0.5, -0.25), LUMA)
    moved = track.mask(box(15, 20))[0, 0]
    assert ((moved - box(35, 10)[0, 0]).abs() > 100).sum() == 0
    assert ((moved > 25) & (moved < 230)).sum() < 10
    large = track.mask(box(15, 20, scale=3))[0, 0]  # of any size
    assert ((large - box(35, 10, scale=3)[0, 0]).abs() > 100).sum() < 20


def test_trust_falls_where_the_flow_is_not_confirmed() -> None:
    back = uniform(1, 0)
    back[..., :20] = 9
    track = Track.at_key(HEIGHT, WIDTH).carried(uniform(-1, 0), back, LUMA)
    assert (track.trust[..., 30:] == 1).all()
    assert (track.trust[..., :20] < 0.2).all()


def test_what_an_object_uncovers_takes_the_mask_of_what_it_looks_like() -> None:
    # A bright object on a dark ground has moved from 10..29 to 14..33: 10 to 13 are uncovered.
    flow, back, luma = uniform(0, 0), uniform(0, 0), LUMA.clone()
    flow[:, 0, :, 14:34], back[:, 0, :, 10:30] = -4, 4
    luma[:, 14:34] = 200
    key = torch.zeros(1, 1, HEIGHT, WIDTH)
    key[..., 10:30] = 255
    mask = Track.at_key(HEIGHT, WIDTH).carried(flow, back, luma).mask(key)[0, 0]
    assert (mask[:, :14] < 128).all()
    assert (mask[:, 14:34] > 127).all()
    assert (mask[:, 34:] < 128).all()


def test_two_masks_are_blended_by_distance_and_trust() -> None:
    before, after, full = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 200.0), torch.ones(1, 1, 4, 4)
    for share, wanted in ((0.0, 0.0), (0.25, 50.0), (1.0, 200.0)):
        assert blended(before, after, (full, full), share).mean().item() == wanted
    half = torch.ones(1, 1, 4, 4)
    half[..., :2] = 0
    mixed = blended(before, after, (half, full), 0.5)
    assert (mixed[..., :2] > 190).all()
    assert (mixed[..., 7] == 100).all()
