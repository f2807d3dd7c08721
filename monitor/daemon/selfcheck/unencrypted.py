"""Connections to other machines without TLS, which the configuration names."""

import ipaddress
from contextlib import suppress


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nobody is between."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
