"""Fixtures of more than one test file."""

import signal
from collections.abc import Iterator

import pytest


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
