"""Which ports of a host another one reaches, by TCP."""

import socket
from collections.abc import Iterable

from tests.support.lab import Host


def listen(ports: Iterable[int]) -> list[socket.socket]:
    """Listen on ports for both families, in the network namespace of the calling thread."""
    return [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) for port in ports]


def open_ports(here: Host, there: Host, family: str, ports: Iterable[int]) -> set[int]:
    """Return which of these ports of a host `here` can connect to; family is "4" or "6"."""
    address = f"::ffff:{there.address4}" if family == "4" else there.address6
    found = set()
    with here.entered():
        for port in ports:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
                one.settimeout(0.2)
                if one.connect_ex((address, port)) == 0:
                    found.add(port)
    return found
