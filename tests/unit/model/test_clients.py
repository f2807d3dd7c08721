"""Clients: sources that completed handshakes within the last minutes."""

from monitor.model.addresses import parse_address
from monitor.model.clients import KNOWN, Clients
from tests.support.flows import CLIENT, handshakes


def test_a_client_is_known_by_its_handshakes() -> None:
    """From the fourth on, for five to ten minutes; an IPv6 host by its prefix."""
    clients = Clients()
    source = parse_address(CLIENT)
    clients.note(handshakes(KNOWN - 1), 1000.0)
    assert not clients.knows(source)
    clients.note([*handshakes(1), *handshakes(KNOWN, "2001:db8::1")], 1299.0)
    assert clients.knows(source)
    assert clients.knows(parse_address("2001:db8::2"))
    assert not clients.knows(parse_address("2001:db8:0:1::1"))
    clients.note([], 1300.0)
    assert clients.handshakes(source) == KNOWN
    clients.note([], 1600.0)
    assert not clients.knows(source)


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
