"""Connections that are made in time, however many addresses a name has."""

import socket
from collections.abc import Callable


def connect(host: str, port: int, seconds_left: Callable[[], float]) -> socket.socket:
    """Connect to the first address of a host that answers.

    `socket.create_connection` has its time limit for each address: a name with fifty silent ones takes it fifty times.
    Here each of them gets its share of the time that is left.

    Args:
        host: name or address.
        port: port.
        seconds_left: returns how many seconds are left for all addresses together; raises TimeoutError if none are.

    Raises:
        OSError: the host is unknown, or none of its addresses answers; TimeoutError if the last one is silent.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError("the host has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds_left() / (len(addresses) - tried))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure
