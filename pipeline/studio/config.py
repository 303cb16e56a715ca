"""The configuration of the studio: where it listens, what it uses, and its limits."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config import Device, Engine
from pipeline.config.arguments import read_memory
from pipeline.config.options import Option, check_settings

# RFC 1123 names, and addresses with or without the brackets of IPv6.
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?", re.ASCII)


def check_host(name: str) -> None:
    """Raise ValueError if ``name`` is neither a host name nor an address."""
    if not _HOST.fullmatch(name):
        raise ValueError(f"{name!r} is not a host; give a name or an address, without scheme and port")


def _read_names(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        check_host(name)
    return tuple(name.strip("[]").lower() for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioConfig:
    """Where the studio listens, what it uses, and its limits."""

    host: Annotated[
        str,
        Option(
            "Listen at this address; 0.0.0.0 or :: for other machines, over HTTPS.",
            metavar="HOST",
            check=check_host,
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Option("Listen at this port; 0 takes a free one.", metavar="PORT", min=0, max=65535)] = 8765
    names: Annotated[
        Sequence[str],
        Option(
            "Further name under which browsers reach this machine, as through a tunnel; repeatable.",
            name="name",
            metavar="HOST",
            read=_read_names,
        ),
    ] = ()
    certificate: Annotated[
        Path | None, Option("Certificate chain (PEM) for HTTPS. Default: one is generated.", metavar="FILE")
    ] = None
    key: Annotated[Path | None, Option("Private key (PEM) of the certificate.", metavar="FILE")] = None
    new_token: Annotated[bool, Option("Make a new link; the old one, and all open pages, stop working.")] = False
    folder: Annotated[
        Path | None,
        Option("Folder for uploads and results. Default: ~/.local/share/flowbrush/studio.", metavar="FOLDER"),
    ] = None
    max_disk: Annotated[
        int | None,
        Option(
            "Uploads and results take at most so much disk space. Default: 20G.",
            metavar="SIZE",
            read=read_memory,
            above=0,
        ),
    ] = None
    max_upload: Annotated[
        int | None,
        Option("Largest clip that can be uploaded. Default: 4G.", metavar="SIZE", read=read_memory, above=0),
    ] = None
    viewers: Annotated[
        int | None,
        Option("Live viewers at the same time at most. Default: as many as this machine can serve.", min=0, max=100),
    ] = None
    device: Device = "auto"
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
        if (self.certificate is None) != (self.key is None):
            raise ValueError("--certificate and --key belong together; give both, or none to have one generated")

    @property
    def disk_bytes(self) -> int:
        """Disk space for uploads and results in bytes."""
        return self.max_disk or 20 * 2**30

    @property
    def upload_bytes(self) -> int:
        """Size of the largest upload in bytes."""
        return min(self.max_upload or 4 * 2**30, self.disk_bytes)

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        host = self.host.strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host.lower() == "localhost"

    @property
    def has_tls(self) -> bool:
        """Whether the page is served over HTTPS: browsers give a page no camera otherwise, this machine apart."""
        return not self.is_local or self.certificate is not None
