"""What the studio answers when something is wrong: a status and one line, which the page shows as it is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, first_line, notes_of, printable

if TYPE_CHECKING:
    from starlette.responses import Response


class RequestError(Exception):
    """A request cannot be served.

    Attributes:
        status: of HTTP, 400 to 599.
        message: one line: what is wrong; what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def error_body(message: str) -> bytes:
    """Return the body of an answer with an error, JSON."""
    return json.dumps({"error": printable(message)}).encode()


def error_response(status: int, message: str) -> "Response":
    """Return the answer with an error."""
    from starlette.responses import Response

    return Response(error_body(message), status, media_type="application/json")


def line_of(error: Exception, name: str = "") -> str:
    """Return the line for the page about an error of the library.

    Args:
        error: a `PipelineError` or ValueError.
        name: of the clip, in place of its path on this machine.
    """
    line = first_line(error) + notes_of(error)
    path = getattr(error, "path", None) if isinstance(error, PipelineError) else None
    return line.replace(path, name or "the clip") if path else line


@contextmanager
def answering() -> Iterator[None]:
    """Context that reads what a page has sent: a ValueError becomes the answer.

    Raises:
        RequestError: in place of the ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise RequestError(400, str(error)) from error
