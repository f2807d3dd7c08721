"""Probes of what the machine allows: the port for metrics."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from monitor.config.types import Endpoint
from monitor.daemon.selfcheck.probes import try_port


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port of 127.0.0.1 on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_ours(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own port is no fault, and no other port is tried: the sandbox may allow only this one."""
    tried = []
    real = socket.socket.bind

    class Watched(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            tried.append(address)
            real(self, address)

    monkeypatch.setattr(socket, "socket", Watched)
    try_port(Endpoint("127.0.0.1", taken), is_ours=True)
    assert tried == [("127.0.0.1", taken)]


@pytest.mark.parametrize(
    ("host", "is_ours", "expected"),
    [("127.0.0.1", False, errno.EADDRINUSE), ("192.0.2.1", True, errno.EADDRNOTAVAIL)],
)
def test_ports_that_cannot_be_served(taken: int, host: str, expected: int, *, is_ours: bool) -> None:
    """The port of another program is a fault, and so is an address that this machine does not have (any more)."""
    with pytest.raises(OSError, match=os.strerror(expected)):
        try_port(Endpoint(host, taken), is_ours=is_ours)
