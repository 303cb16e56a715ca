"""Tests of live sessions wait for frames in real time: `make test` runs them after the others, on an idle machine."""

from pathlib import Path

import pytest

from pipeline.live.stylize.control import cost_file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; the hook is given those of all folders."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker("realtime")


@pytest.fixture(autouse=True)
def own_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test measures from other tests, and from the user's cache."""
    monkeypatch.setattr(cost_file, "NAME", str(tmp_path / "live_costs.json"))
