"""Names of services: as /etc/services has them, and the common ones without it."""

import socket
from typing import NoReturn

import pytest

from monitor.config.port_names import read_ports
from monitor.config.service_names import COMMON, service_port
from monitor.filters.fail2ban import ports
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a machine without /etc/services."""

    def unknown(name: str, protocol: str) -> NoReturn:
        raise OSError("service/proto not found")

    monkeypatch.setattr(socket, "getservbyname", unknown)


@pytest.mark.usefixtures("bare")
def test_common_services_are_known_without_the_file() -> None:
    """In our own notation and in that of jails; what is not common is refused, or means all ports, as before."""
    assert list(read_ports("ssh")) == [(PROTOCOL_TCP, 22)]
    assert list(read_ports("domain")) == [(PROTOCOL_TCP, 53), (PROTOCOL_UDP, 53)]
    assert ports.read_ports(["pop3,pop3s,imap,imaps,submission,465,sieve"], ["tcp"]) == (
        "tcp/110", "tcp/995", "tcp/143", "tcp/993", "tcp/587", "tcp/465", "tcp/4190",
    )  # fmt: skip
    assert ports.read_ports(["gopher"], ["tcp"]) == ()
    with pytest.raises(ValueError, match="gopher' is no service of /etc/services, nor a common one"):
        read_ports("gopher")


def test_the_file_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator may have given a service another port."""
    monkeypatch.setattr(socket, "getservbyname", lambda name, protocol: 2222)
    assert service_port("ssh", "tcp") == 2222


@pytest.mark.parametrize("protocol", COMMON)
def test_they_are_those_of_this_machine(protocol: str) -> None:
    """What the machine's own file knows has the same port there."""
    for name, port in COMMON[protocol].items():
        try:
            known = socket.getservbyname(name, protocol)
        except OSError:
            known = port
        assert (name, port) == (name, known)
