from pathlib import Path

import pytest

from tests.support.interrupted.resuming import UNEVEN_PTS
from tests.support.media import Audio, Clip, make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames at uneven times, with audio."""
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "in.mp4", Clip(pts=UNEVEN_PTS, audio=[Audio()], last_duration=2000))
