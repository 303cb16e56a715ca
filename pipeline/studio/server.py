"""Serve the studio until Ctrl-C."""

import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, reason_of
from pipeline.studio.config import StudioConfig

if TYPE_CHECKING:
    from pipeline.studio.certificate import Certificate

EXTRA = ("fastapi", "uvicorn", "aiortc", "cryptography", "ifaddr", "websockets")
"""Modules of the extra."""
# How long open connections may take to end.
END_SECONDS = 5
# Open connections, those that wait for an answer included; a process may have 1024 files by default.
MOST_CONNECTIONS = 600
# A JPEG of 1280x720 has 1 MB at most; two may wait.
SOCKET_BYTES, SOCKET_MESSAGES = 4 * 2**20, 4


def check_extra() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        PipelineError: they are not.
    """
    if any(importlib.util.find_spec(name) is None for name in EXTRA):
        raise PipelineError('studio needs FastAPI and aiortc; pip install "flowbrush[studio]"')


def serve(config: StudioConfig, say: Callable[[str], None]) -> bool:
    """Serve the studio until Ctrl-C or SIGTERM.

    Args:
        config: of the studio.
        say: called with each line for the user: the links, and what to do with them.

    Returns:
        Whether a thread is still in the middle of something that takes long, such as loading the network.

    Raises:
        PipelineError: the extra is not installed, or the address, the folder or the certificate cannot be used.
    """
    check_extra()
    from pipeline.studio.app import make_app
    from pipeline.studio.certificate import open_certificate
    from pipeline.studio.folder import lock_folder, open_folder, read_token

    root = open_folder(config)
    with _bind(config) as listener, lock_folder(root):
        config = replace(config, port=listener.getsockname()[1])  # 0 takes a free one
        certificate = open_certificate(config, root) if config.has_tls else None
        token = read_token(root, is_new=config.new_token)
        app = make_app(config, token, root)
        for line in _welcome(config, certificate, token):
            say(line)
        with suppress(KeyboardInterrupt):
            make_server(app, certificate).run(sockets=[listener])
    say("stopped; jobs that have not ended resume at the next start")
    return any(thread.name.startswith("flowbrush-") for thread in threading.enumerate())


def make_server(app: Any, certificate: "Certificate | None") -> Any:
    """Return a server that ends its open streams at Ctrl-C, instead of waiting for them.

    Args:
        app: what it serves; ``app.state.stop`` ends the streams.
        certificate: of HTTPS; None for HTTP.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.stop()
            super().handle_exit(sig, frame)

    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            http="h11",  # which limits the size of headers; httptools does not
            proxy_headers=False,  # the address of a client is that of its connection
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            ws_max_size=SOCKET_BYTES,
            ws_max_queue=SOCKET_MESSAGES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=END_SECONDS,
            ssl_certfile=certificate.chain if certificate else None,
            ssl_keyfile=certificate.key if certificate else None,
        )
    )


def _welcome(config: StudioConfig, certificate: "Certificate | None", token: str) -> Iterator[str]:
    """Yield what the user needs to open the page."""
    from pipeline.studio.addresses import link_hosts

    scheme = "https" if certificate else "http"
    yield "flowbrush studio: open this link in a browser. Whoever has it can use the studio; Ctrl-C ends it."
    for host in link_hosts(config):
        yield f"  {scheme}://{host}:{config.port}/?token={token}"
    if certificate is not None and certificate.is_generated:
        yield "The browser will warn, as it does not know this certificate. Compare its SHA-256 fingerprint:"
        yield f"  {certificate.fingerprint}"
        yield "Chrome: Not secure > Certificate details; Firefox: Advanced > View Certificate; Safari: Show Details"
        yield "If it is the same, choose Advanced > Proceed. Firefox: Accept the Risk; Safari: visit this website."


def _bind(config: StudioConfig) -> socket.socket:
    """Listen where the configuration says.

    Raises:
        PipelineError: the address is not this machine's, or is in use.
    """
    host = config.host.strip("[]")
    try:
        family = socket.getaddrinfo(host, config.port, type=socket.SOCK_STREAM)[0][0]
        is_any = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, config.port), family=family, dualstack_ipv6=is_any)
    except OSError as error:
        remedy = "choose another --port or --host"
        raise PipelineError(f"{host} port {config.port}: cannot listen there ({reason_of(error)}); {remedy}") from error
