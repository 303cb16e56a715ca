"""The names and addresses of this machine, as browsers write them."""

import ipaddress
import re
import socket
from collections.abc import Iterator

from pipeline.studio.config import StudioConfig

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
# As in a Host header: a name or an IPv4 address, or an IPv6 address in brackets; then a port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?", re.ASCII)


def split_host(header: str) -> str:
    """Return the name in a Host header, in small letters and without port and brackets; empty if it is malformed."""
    match = _HOST.fullmatch(header.lower())
    return "" if match is None else (match[1] or match[2]).rstrip(".")


def names_of(config: StudioConfig) -> tuple[str, ...]:
    """Return the names and addresses under which browsers may reach the studio, in small letters."""
    host = config.host.strip("[]").lower()
    if config.is_local:
        found = [host, *LOCAL_NAMES]
    elif _is_any(host):
        found = [*_listening(host), *_machine_names(), *LOCAL_NAMES]
    else:
        found = [host, *_machine_names()]
    return tuple(dict.fromkeys([*found, *config.names]))


def link_hosts(config: StudioConfig) -> tuple[str, ...]:
    """Return the names to print in links, those first that other machines most likely reach."""
    host = config.host.strip("[]").lower()
    found = _listening(host) if _is_any(host) else (host,)
    names = dict.fromkeys([*config.names, *found])
    return tuple(f"[{each}]" if ":" in each else each for each in names)


def machine_addresses() -> tuple[str, ...]:
    """Return the addresses of this machine that others may reach, IPv4 first; without those of one link only."""
    import ifaddr

    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            text = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local):
                found.append(text)
    return tuple(sorted(dict.fromkeys(found), key=lambda text: ":" in text))


def _listening(host: str) -> tuple[str, ...]:
    """Return the addresses at which a server listens that listens at all of ``host``: `::` is IPv4 too."""
    return tuple(each for each in machine_addresses() if "." in each or host == "::")


def _machine_names() -> Iterator[str]:
    name = socket.gethostname().lower()
    if _HOST.fullmatch(name) and name != "localhost":
        yield name
        if "." not in name:
            yield f"{name}.local"


def _is_any(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
