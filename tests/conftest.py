"""Fixtures of more than one test file."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, and as long as a loaded machine needs for them.
settings.register_profile("flowbrush", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("flowbrush")


def pytest_configure() -> None:
    """Undo what a shell does to a job in the background, and nohup: the commands under test would ignore signals.

    A handler, unlike an ignored signal, is not inherited: the commands start with the default action.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks as small as those of the tests lose more to threads waiting for each other than they gain."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file whose network takes a millisecond, and compiles in a third of the time of a bundled one."""
    import torch

    from models.network import StyleNetwork
    from models.registry import StyleMetadata, to_bytes
    from tests.support.tiny import TINY

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = StyleNetwork(TINY)
    path = tmp_path_factory.mktemp("style") / "tiny.safetensors"
    path.write_bytes(to_bytes(network, [network.initial_style()], [StyleMetadata("tiny", licence="none")], {}))
    return path


@pytest.fixture
def any_picture(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small predictor of random weights in place of the bundled one, for the network of bundled styles."""
    from tests.support.networks.pictures import write_predictor

    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    if not file.exists():
        write_predictor(file)
    monkeypatch.setattr("models.predictor.BUNDLED", file)
    return file
