"""Lines on the terminal, and how a command ends: one line and an exit code for what users can mend."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from pipeline.errors import PipelineError, notes_of, printable
from pipeline.system.process import set_up_logging

USAGE_ERROR, INTERRUPTED = 2, 130
"""Exit codes; those of other errors are in `pipeline.errors`."""


def say(line: str) -> None:
    """Print ``line`` to standard error; standard output may be the video."""
    if sys.stderr is not None:  # print would take None for standard output
        print(printable(line), file=sys.stderr)


@contextmanager
def error_lines(*, verbose: bool = False) -> Iterator[None]:
    """Context that turns errors of the library into one line and an exit code; a bug keeps its traceback.

    SIGTERM and SIGHUP interrupt like Ctrl-C, except that SIGHUP stays ignored under ``nohup``.
    """
    set_up_logging(logging.DEBUG if verbose else logging.ERROR)
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        yield
    except PipelineError as error:
        _fail(f"{error}{notes_of(error)}", error.exit_code)
    except KeyboardInterrupt as error:
        say(f"interrupted{notes_of(error)}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def usage_errors() -> Iterator[None]:
    """Context in which a ValueError is a usage error."""
    try:
        yield
    except ValueError as error:
        _fail(f"{error}; see flowbrush --help", USAGE_ERROR)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    say(f"flowbrush: {message.strip()}")
    raise typer.Exit(code)
