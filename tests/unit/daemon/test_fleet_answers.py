"""What the daemon answers to commands about the fleet: bans for all, pardons, trust, and whose a ban is."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitor.bans.decision import Ended
from monitor.cli.target import Target
from monitor.cli.why import why
from monitor.control import protocol
from monitor.control.fleet_requests import FleetPardon, FleetStatus, FleetTrust
from monitor.control.protocol import BanOrder, RequestedBan, Why
from monitor.daemon.control.fleet_answers import NoFleetError
from monitor.daemon.control.requests import Answers
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.fleet.overview import FleetView
from monitor.model.addresses import Network
from monitor.model.bans import Mode
from monitor.settings.schema import Settings
from tests.support.answers import answers_of
from tests.support.fleet_nodes import Clock, Node, Server, meet
from tests.support.fleet_view import Member, node, view
from tests.support.policy import willing_table

_NET = "203.0.113.7"


class _Place(Member):
    """The place of a node of the harness in its fleet."""

    def __init__(self, of: Node) -> None:
        super().__init__(lambda _: of.fleet.view())
        self._of = of

    def pardon(self, networks: Sequence[Network], until_s: float, reason: str, now_s: float) -> list[Ended]:
        return self._of.fleet.pardon(networks, until_s, reason, now_s)

    def pardoned(self, network: Network, now_s: float) -> tuple[float, str] | None:
        return self._of.fleet.pardoned(network, now_s)

    def trust(self, node: str, now_s: float) -> bool:
        del now_s
        return self._of.fleet.trust(node)


def _ask(answers: Answers, request: protocol.Request) -> Any:
    return asyncio.run(answers.handle(request)).result


def _alone(directory: Path, fleet: FleetView | None = None) -> Answers:
    return answers_of(Pipeline(Settings(), (), willing_table), directory, Member(lambda _: fleet))


def _two(**more: Any) -> tuple[Node, Node]:
    server, clock = Server(), Clock()
    clock.now_s = time.time()
    return Node("web-1", server, clock, **more), Node("web-2", server, clock, **more)


def test_without_a_fleet_its_orders_are_refused(tmp_path: Path) -> None:
    """With what to do; nothing is banned or lifted by them."""
    answers = _alone(tmp_path)
    for request in (
        BanOrder([RequestedBan(_NET, 60.0)], fleet=True),
        FleetPardon([_NET]),
        FleetTrust("web-1"),
    ):
        with pytest.raises(NoFleetError, match=r"fleet\.url"):
            _ask(answers, request)
    assert _ask(answers, FleetStatus()) == {"fleet": None, "nodes": [], "after": ""}
    assert _ask(answers, Why(_NET))["bans"] == []


def test_orders_are_bounded(tmp_path: Path) -> None:
    """Number and time of pardons, length of pages; a network that is none is answered, the others are pardoned."""
    answers = _alone(tmp_path, view(*(node(f"n{number:04}") for number in range(600))))
    with pytest.raises(NoFleetError, match="at most 1000"):
        _ask(answers, FleetPardon([_NET] * 1001))
    for for_s in (0.0, float("nan"), 1e12):
        with pytest.raises(NoFleetError, match="lasts from"):
            _ask(answers, FleetPardon([_NET], for_s))
    assert [one["done"] for one in _ask(answers, FleetPardon(["x", _NET]))] == [False, True]
    assert len(_ask(answers, FleetStatus(limit=10**9))["nodes"]) == 500
    with pytest.raises(NoFleetError, match="no node"):
        _ask(answers, FleetTrust("nobody"))


def test_a_ban_for_the_fleet_is_on_the_other_node_and_says_whose_it_is(tmp_path: Path) -> None:
    """Whose claim it is, the owner's reason, and the ban ends there when it is lifted here."""
    one, other = _two()
    here, there = (answers_of(each.pipeline, tmp_path, _Place(each)) for each in (one, other))
    meet(one, other)
    (told,) = _ask(here, BanOrder([RequestedBan(_NET, 3600.0, "seen in mail")], fleet=True))
    assert (told["done"], told["text"]) == (True, "banned; published to the fleet")
    meet(one, other)
    found = _ask(there, Why(_NET))
    (ban,) = found["bans"]
    assert (ban["origin"], ban["detector"], ban["mode"]) == ("peer", "web-1", Mode.ENFORCE)
    assert "seen in mail" in ban["reason"]
    output = _printed(found)
    assert "by peer web-1" in output
    assert "seen in mail" in output
    (lifted,) = _ask(here, protocol.Unban([_NET]))
    assert lifted["done"]
    meet(one, other)
    assert _ask(there, Why(_NET))["bans"] == []


def test_a_pardon_ends_bans_everywhere_and_bars_them(tmp_path: Path) -> None:
    """Of whatever node; `why` says until when and why. Away from the server, the answer says that it comes later."""
    one, other = _two()
    here, there = (answers_of(each.pipeline, tmp_path, _Place(each)) for each in (one, other))
    meet(one, other)
    one.ban(_NET)
    meet(one, other)
    assert other.held("web-1") == {_NET}
    (told,) = _ask(there, protocol.Unban([_NET]))
    assert told["text"].endswith("end it there, or on all nodes: `nodewarden unban --fleet`")
    (told,) = _ask(there, FleetPardon([_NET], 3600.0, "our customer"))
    assert told["text"] == "pardoned, lifted here; published to the fleet"
    meet(one, other)
    assert one.enforced() == other.enforced() == set()
    found = _ask(there, Why(_NET))
    assert 0 < found["pardon"]["left_s"] <= 3600
    assert "pardoned in the fleet for another" in _printed(found)
    assert ", by web-2: our customer; until then" in _printed(_ask(here, Why(_NET)))
    assert ", by this node: our customer; until then" in _printed(found)
    (told,) = _ask(here, BanOrder([RequestedBan(_NET, 3600.0)], fleet=True))
    assert told["text"].endswith("PROBLEM: other nodes do not take it over, it is pardoned by web-2: our customer")
    other.reachable = False
    other.sync()
    later = answers_of(other.pipeline, tmp_path, _Place(other))
    (told,) = _ask(later, FleetPardon(["203.0.113.8"]))
    assert told["text"].endswith("not banned here; published to the fleet as soon as its server answers")


def test_a_ban_of_several_nodes_names_them_all(tmp_path: Path) -> None:
    """The one that ends last, and those that hold it as well."""
    one, other = _two()
    meet(one, other)
    one.ban(_NET, bantime_s=600.0)
    other.ban(_NET, bantime_s=3600.0)
    meet(one, other)
    output = _printed(_ask(answers_of(one.pipeline, tmp_path, _Place(one)), Why(_NET)))
    assert "by peer web-2" in output
    assert "also by sshd" in output


def _printed(found: dict[str, Any]) -> str:
    class Daemon(Target):
        def ask(self, request: protocol.Request) -> Any:
            del request
            return found

    return CliRunner().invoke(why, [_NET], obj=Daemon(Path("/nowhere"))).output
