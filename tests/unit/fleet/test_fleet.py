"""Nodes of a fleet over a server in memory: who bans what, and what never happens."""

import pytest

from monitor.model.alerts import Strength
from monitor.model.bans import ClaimOrigin, Mode
from tests.support.fleet_nodes import Clock, Node, Server, meet

A, B, C = "198.51.100.1", "198.51.100.2", "198.51.100.3"


@pytest.fixture
def pair() -> tuple[Node, Node]:
    server, clock = Server(), Clock()
    one, other = Node("one", server, clock), Node("other", server, clock)
    meet(one, other)
    return one, other


def test_what_one_proved_the_other_enforces(pair: tuple[Node, Node]) -> None:
    one, other = pair
    one.ban(A)
    meet(one, other)
    assert other.held("one") == {A}
    assert one.held("other") == set()
    one.unban(A)
    meet(one, other)
    assert other.enforced() == set()


@pytest.mark.parametrize(
    "what",
    [
        {"strength": Strength.SPOOFABLE},
        {"strength": Strength.DESTINATION},
        {"origin": ClaimOrigin.OPERATOR, "name": "manual"},
        {"origin": ClaimOrigin.IMPORT, "name": "fail2ban"},
        {"origin": ClaimOrigin.LIST, "name": "drop"},
        {"origin": ClaimOrigin.PEER, "name": "crowdsec"},
        {"origin": ClaimOrigin.PEER, "name": "third"},
        {"name": "restored"},
        {"mode": Mode.OBSERVE},
    ],
)
def test_nothing_else_is_published(pair: tuple[Node, Node], what: dict[str, object]) -> None:
    one, other = pair
    one.ban(A, **what)  # type: ignore[arg-type]
    meet(one, other)
    assert one.server.hashes["one"] == {}
    assert len(other.pipeline.ledger) == 0


def test_an_order_for_the_fleet_is_shared(pair: tuple[Node, Node]) -> None:
    one, other = pair
    one.ban_for_fleet(A)
    meet(one, other)
    assert other.held("one") == {A}
