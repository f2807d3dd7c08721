"""Reads the ports that a ban is limited to: numbers, ranges and names of services, with or without a protocol."""

import re
from collections.abc import Iterable

from monitor.config.kinds import ValueKind
from monitor.config.service_names import service_port
from monitor.config.types import quote
from monitor.model.ports import PROTOCOLS

_PORTS = re.compile(
    r"(?:(?P<protocol>[a-z]+)/)?(?:(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?|(?P<name>[a-z][a-z0-9+.-]*))"
)
_BOTH = ("tcp", "udp")
_MAX_PORT = 65_535


def read_ports(text: str) -> Iterable[tuple[int, int]]:
    """Return protocol number and port of what a text means; ValueError if it means nothing.

    Without a protocol a number means TCP and UDP, and a service those for which it has a port.
    """
    found = _PORTS.fullmatch(text)
    if not found or found["protocol"] not in (None, *PROTOCOLS):
        raise ValueError(f"{quote(text)} is no port (expected for example tcp/22, udp/5060-5061, 22 or ssh)")
    protocols = (found["protocol"],) if found["protocol"] else _BOTH
    if found["name"]:
        ports = [(PROTOCOLS[one], port) for one in protocols if (port := service_port(found["name"], one))]
        if not ports:
            raise ValueError(f"{quote(text)} is no service of /etc/services, nor a common one")
        return ports
    first = int(found["first"])
    last = int(found["last"] or first)
    if not 1 <= first <= last <= _MAX_PORT:
        raise ValueError(f"{quote(text)} is no port or range within 1 to {_MAX_PORT}")
    return [(PROTOCOLS[one], port) for one in protocols for port in range(first, last + 1)]


def _read_port_text(value: str) -> str:
    """Read ports of a ban, and keep them as they are written."""
    read_ports(value)
    return value


PORTS: ValueKind[str] = ValueKind(
    "port, range or service, may start with `tcp/` or `udp/`",
    _read_port_text,
    str,
    {
        "anyOf": [
            {"type": "string", "minLength": 1, "examples": ["tcp/22", "udp/5060-5061", "ssh"]},
            {"type": "integer", "minimum": 1, "maximum": 65535},
        ]
    },
)
