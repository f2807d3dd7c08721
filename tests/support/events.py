"""Shorthand for events in tests."""

from typing import Any

from monitor.model.addresses import parse_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure, PacketLogged
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP, TCP_SYN


def tcp(
    source: str, port: int, *, to: str = "10.0.0.1", time_s: float = 1000.0, flags: int = TCP_SYN, **more: Any
) -> PacketLogged:
    """Return a logged TCP packet, by default a SYN to 10.0.0.1."""
    return _packet(source, port, to, time_s, PROTOCOL_TCP, {"tcp_flags": flags, **more})


def udp(source: str, port: int, *, to: str = "10.0.0.1", time_s: float = 1000.0, **more: Any) -> PacketLogged:
    """Return a logged UDP packet."""
    return _packet(source, port, to, time_s, PROTOCOL_UDP, more)


def _packet(source: str, port: int, to: str, time_s: float, protocol: int, more: dict[str, Any]) -> PacketLogged:
    fields = {"prefix": "drop: ", "interface_in": "eth0", "interface_out": "", "source_port": 50123, **more}
    return PacketLogged(
        time_s=time_s,
        source=parse_address(source),
        destination=parse_address(to),
        protocol=protocol,
        destination_port=port,
        **fields,
    )


def failure(source: str, *, time_s: float = 1000.0, strength: Strength = Strength.PROVEN, **more: Any) -> AuthFailure:
    """Return a failed attempt, by default a proven one that the detector sshd found in the journal."""
    fields = {"detector": "sshd", "log": "journal", **more}
    return AuthFailure(time_s=time_s, source=parse_address(source), strength=strength, **fields)
