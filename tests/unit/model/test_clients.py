"""Clients: sources that completed handshakes within the last minutes."""

import pytest

from monitor.model import clients as module
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


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody with many addresses can have others forgotten: what is too much is not remembered, and counted."""
    monkeypatch.setattr(module, "_MAX_ENTRIES", 64)
    clients = Clients()
    clients.note(handshakes(1), 1000.0)
    for second in range(1000):
        clients.note(handshakes(1, f"{second & 255}.{second >> 8}.113.1"), 1001.0 + second)
    assert clients.knows(parse_address(CLIENT), 1001.0)
    assert (len(clients), clients.refused_total) == (64, 1000 - 63)
    clients.note(handshakes(1), 2800.0)
    assert clients.handshakes(parse_address(CLIENT)) == 2


@pytest.mark.parametrize(
    ("crowd", "most"), [("2001:db8:7:{:x}::1", 8), ("2001:db8:{:x}::1", 16), ("203.0.113.{}", 8), ("203.0.{}.1", 16)]
)
def test_a_network_takes_its_share_only(monkeypatch: pytest.MonkeyPatch, crowd: str, most: int) -> None:
    """A /48 or /24 an eighth, a /32 or /16 a quarter: whoever has many addresses keeps nobody from becoming known."""
    monkeypatch.setattr(module, "_MAX_ENTRIES", 64)
    clients = Clients()
    for number in range(200):
        clients.note(handshakes(1, crowd.format(number)), 1000.0)
    assert (len(clients), clients.refused_total) == (most, 200 - most)
    clients.note([*handshakes(1), *handshakes(1, "2001:db9::1")], 1000.0)
    assert clients.knows(parse_address(CLIENT), 1001.0)
    assert clients.knows(parse_address("2001:db9::1"), 1001.0)
