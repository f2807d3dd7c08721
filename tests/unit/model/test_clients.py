"""Clients: sources that completed handshakes within the last minutes."""

from monitor.model.addresses import parse_address
from monitor.model.clients import Clients
from tests.support.flows import CLIENT, handshakes


def test_a_client_is_known_by_its_handshakes() -> None:
    """For half an hour to an hour; an IPv6 host by its prefix."""
    clients = Clients()
    source = parse_address(CLIENT)
    assert not clients.knows(source, 5000.0)
    clients.note([*handshakes(2), *handshakes(1, "2001:db8::1")], 1000.0)
    clients.note(handshakes(3), 2799.0)
    assert clients.knows(source, 1001.0)
    assert not clients.knows(source, 1000.0)
    assert clients.knows(parse_address("2001:db8::2"), 1001.0)
    assert not clients.knows(parse_address("2001:db8:0:1::1"), 5000.0)
    clients.note([], 2800.0)
    assert (clients.handshakes(source), clients.handshakes(parse_address("192.0.2.9"))) == (5, 0)
    clients.note([], 4600.0)
    assert not clients.knows(source, 5000.0)


def test_they_are_bounded() -> None:
    """Too many in five minutes: those of the five before are forgotten, and counted."""
    clients = Clients()
    clients.note(handshakes(1), 1000.0)
    sources = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(65_536))
    for source in sources:
        clients.note(handshakes(1, source), 1001.0)
    clients.note(handshakes(1, "192.0.2.9"), 1002.0)
    assert len(clients) <= 2 * 65_536
    clients.note(handshakes(1), 999.0)
    assert clients.evicted_total == 0
