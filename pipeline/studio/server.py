"""Serve the studio until Ctrl-C."""

import importlib.util
import socket
from collections.abc import Callable

from pipeline.errors import PipelineError, reason_of
from pipeline.studio.config import StudioConfig

EXTRA = {"fastapi": "FastAPI", "uvicorn": "uvicorn", "aiortc": "aiortc"}
"""Packages of the extra, by the names of their modules."""
# How long open connections may take to end.
END_SECONDS = 3


def check_extra() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        PipelineError: they are not.
    """
    if any(importlib.util.find_spec(name) is None for name in EXTRA):
        raise PipelineError('studio needs FastAPI and aiortc; pip install "flowbrush[studio]"')


def serve(config: StudioConfig, say: Callable[[str], None]) -> None:
    """Serve the studio until Ctrl-C or SIGTERM.

    Args:
        config: of the studio.
        say: called with each line for the user: the links, and what to do with them.

    Raises:
        PipelineError: the extra is not installed, or the address cannot be used.
    """
    check_extra()
    import uvicorn

    from pipeline.studio.addresses import link_hosts
    from pipeline.studio.app import make_app
    from pipeline.studio.folder import open_folder, read_token

    listener = _bind(config)
    root = open_folder(config)
    token = read_token(root, is_new=config.new_token)
    port = listener.getsockname()[1]
    settings = uvicorn.Config(
        make_app(config, token, root),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws_max_size=4 * 2**20,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    scheme = "https" if config.has_tls else "http"
    for host in link_hosts(config):
        say(f"open {scheme}://{host}:{port}/?token={token}")
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt:
        say("stopped")


def _bind(config: StudioConfig) -> socket.socket:
    """Listen where the configuration says.

    Raises:
        PipelineError: the address is not this machine's, or is in use.
    """
    host = config.host.strip("[]")
    try:
        family = socket.getaddrinfo(host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, config.port), family=family)
    except OSError as error:
        remedy = "choose another --port or --host"
        raise PipelineError(f"{host} port {config.port}: cannot listen there ({reason_of(error)}); {remedy}") from error
