import pytest

from pipeline.config import StylizeConfig
from pipeline.live.config import LiveConfig
from pipeline.live.session import output_size_px
from tests.support.live import plain_config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": ""}, "no name"),
        ({"height": 8}, "height"),
        ({"fps_target": 0.5}, "fps target"),
        ({"fps_target": float("nan")}, "fps target"),
        ({"latency_target_ms": 1}, "latency target"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"loop": True}, "--realtime"),
        ({"stylize": StylizeConfig(style="great-wave", compare="side")}, "neither compares"),
        ({"stylize": StylizeConfig(style="great-wave", style_end="mondrian")}, "nor fades"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plain_config(**changes)


def test_what_comes_out_has_even_sides() -> None:
    assert output_size_px((49, 65), None) == (48, 64)
    assert output_size_px((480, 640), 240) == (240, 320)
    assert output_size_px((1080, 1920), 361) == (360, 642)


def test_live_config_is_found() -> None:
    assert LiveConfig(source="0", stylize=StylizeConfig(style="great-wave")).latency_target_ms == 100
