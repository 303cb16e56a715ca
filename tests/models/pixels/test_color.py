import numpy as np
import pytest
import torch

from models.pixels.color import ToneMap, YuvMatrix, bt2390, hlg_to_scene, nits_to_pq, pq_to_nits, to_bt709
from tests.support import media


def nits(level):
    return float(pq_to_nits(torch.tensor(level, dtype=torch.float64)))


def patch(*rgb):
    return torch.tensor(rgb, dtype=torch.float32)[:, None, None].repeat(1, 2, 3)


def pq_patch(*light):
    return patch(*(float(nits_to_pq(torch.tensor(value, dtype=torch.float64))) for value in light))


def shown(tone_map, picture):
    return tone_map(picture)[:, 0, 0].double().numpy()


def light_of(code):
    return 203 * np.asarray(code) ** 2.4


@pytest.mark.parametrize(("level", "light"), [(0, 0), (0.5081, 100), (0.5807, 203), (0.7518, 1000), (1, 10000)])
def test_pq_is_that_of_the_standard(level, light):
    assert nits(level) == pytest.approx(light, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(("level", "light"), [(0, 0), (0.5, 1 / 12), (0.75, 0.26496), (1, 1)])
def test_hlg_is_that_of_the_standard(level, light):
    assert float(hlg_to_scene(torch.tensor(level, dtype=torch.float64))) == pytest.approx(light, rel=1e-4, abs=1e-9)


def test_levels_and_light_are_inverse():
    level = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.allclose(nits_to_pq(pq_to_nits(level)), level, atol=1e-6)


def test_wide_primaries_go_over_as_itu_r_bt2087_says():
    published = torch.tensor([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    assert torch.allclose(to_bt709(9).float(), published, atol=1e-4)
    assert torch.allclose(to_bt709(1), torch.eye(3).double(), atol=1e-12)


def test_the_curve_is_straight_below_its_knee_and_ends_at_white():
    light = torch.tensor([0.5, 10.0, 80.0, 203.0, 600.0, 1000.0], dtype=torch.float64)
    mapped = bt2390(light, 1000.0)
    assert torch.allclose(mapped[:3], light[:3])
    assert float(mapped[-1]) == pytest.approx(203)
    assert 140 < float(mapped[3]) < 180
    assert bool((mapped.diff() > 0).all())


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_yuv_is_what_its_definition_says(matrix, full_range, bits):
    bars = media.color_bars()
    planes = media.to_yuv(bars, matrix, full_range=full_range, bits=bits)
    yuv = YuvMatrix(matrix, full_range=full_range, bits=bits)
    rgb = torch.from_numpy(bars).permute(2, 0, 1).float() / 255
    assert (yuv.to_yuv(rgb) - torch.from_numpy(planes.astype(np.float32))).abs().max() <= 1
    back = yuv.to_rgb(torch.from_numpy(planes.astype(np.float32))) * 255
    assert (back - 255 * rgb).abs().max() < 1.7 * 2 ** (8 - bits)


def test_grey_of_hdr_keeps_its_light_and_stays_grey():
    code = shown(ToneMap("PQ", 9), pq_patch(26, 26, 26))
    assert light_of(code) == pytest.approx([26] * 3, rel=0.01)


def test_hlg_goes_through_the_system_gamma_of_a_1000_nit_screen():
    scene = float(hlg_to_scene(torch.tensor(0.35, dtype=torch.float64)))
    assert light_of(shown(ToneMap("HLG", 9), patch(0.35, 0.35, 0.35))) == pytest.approx(
        [1000 * scene**1.2] * 3, rel=0.01
    )


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test_no_color_is_clipped_and_brighter_is_never_darker(transfer):
    tone_map = ToneMap(transfer, 9)
    ramp = torch.linspace(0, 1, 512)[None, None].repeat(3, 1, 1)
    for tint in (patch(1, 1, 1), patch(1, 0.9, 0.8), patch(0.6, 0.8, 1)):
        code = tone_map(ramp * tint[:, :1, :1])[:, 0]
        assert float(code.max()) <= 1
        assert bool((code.amax(dim=0).diff() > -2e-3).all())
    code = tone_map(ramp)[:, 0]
    assert len(code[0, :385].unique()) > 300  # up to 1000 nits; beyond, a PQ stream that says 1000 has nothing


def test_bright_skin_keeps_its_hue():
    light = np.array([600.0, 380.0, 280.0])  # BT.709
    wide = torch.linalg.solve(to_bt709(9), torch.from_numpy(light)).numpy()
    mapped = light_of(shown(ToneMap("PQ", 9), pq_patch(*wide)))
    assert mapped / mapped.max() == pytest.approx(light / light.max(), abs=0.01)
    assert 150 < mapped.max() < 203


def test_a_color_outside_of_bt709_moves_to_the_grey_of_its_luminance():
    mapped = light_of(shown(ToneMap("PQ", 9), pq_patch(0.001, 60, 0.001)))  # the green of BT.2020
    luminance = 0.6780 * 60
    assert mapped.min() < 0.5
    assert mapped[1] == mapped.max()
    assert float(mapped @ [0.2126, 0.7152, 0.0722]) == pytest.approx(luminance, rel=0.02)


def test_a_stream_that_says_how_bright_it_is_is_not_made_darker_than_that_needs():
    quiet = light_of(shown(ToneMap("PQ", 9, 250.0), pq_patch(200, 200, 200)))
    glaring = light_of(shown(ToneMap("PQ", 9, 4000.0), pq_patch(200, 200, 200)))
    assert glaring[0] < 150 < 170 < quiet[0]


def test_what_is_brighter_than_the_stream_says_keeps_its_hue():
    light = np.array([900.0, 600.0, 450.0])
    wide = torch.linalg.solve(to_bt709(9), torch.from_numpy(light)).numpy()
    mapped = light_of(shown(ToneMap("PQ", 9, 250.0), pq_patch(*wide)))
    assert mapped / mapped.max() == pytest.approx(light / light.max(), abs=0.01)
