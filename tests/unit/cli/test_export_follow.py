"""Bans for those who enforce elsewhere: what is written adds up to what is in force, whatever happens in between."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from monitor.cli import export_follow
from monitor.cli.exchange import export_bans
from monitor.cli.exported_bans import NOTATIONS, Elsewhere, Followed, next_hops, object_name
from monitor.control import protocol
from monitor.control.client import NotRunning
from monitor.control.protocol import Request

_ELSEWHERE = Elsewhere(name="nodewarden-a")
_NETWORKS = ["192.0.2.7", "192.0.2.0/24", "2001:db8::7", "2001:db8:1::/64", "198.51.100.3"]


def _ban(network: str, since_s: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"network": network, "set": "ban", "mode": "enforce", "ports": [], "since_s": since_s} | more


class World:
    """A daemon of which only bans and events are known; its events are numbered."""

    def __init__(self) -> None:
        self.bans: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.run = "1"
        self.first = 0

    def step(self, chance: random.Random) -> None:
        """Let something happen."""
        network = chance.choice(_NETWORKS)
        if network in self.bans and chance.random() < 0.5:
            is_over = chance.random() < 0.7
            self._note({**self.bans[network], "event": "end", "remaining_until_s": None if is_over else 9.0})
            if is_over:
                del self.bans[network]
            return
        what = "refresh" if network in self.bans else "ban"
        self.bans.setdefault(network, _ban(network, float(len(self.events))))
        self._note({**self.bans[network], "event": what})
        self._note(_ban(network, set="shun") | {"event": "ban"})
        self._note(_ban(network, mode="observe") | {"event": "observe"})
        self._note(_ban("203.0.113.9", ports=["tcp/22"]) | {"event": "ban"})
        self._note({"event": "flood", "text": "", "detector": ""})

    def restart(self) -> None:
        """Begin a new run: numbers start again, and some bans ended meanwhile without an event."""
        self.run += "1"
        self.events, self.first = [], 0
        for network in list(self.bans)[::2]:
            del self.bans[network]

    def forget(self) -> None:
        """Keep no event."""
        self.first = len(self.events)

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append({"number": len(self.events) + 1, **event})

    def ask(self, request: Request) -> Any:
        """Answer as the daemon does."""
        if isinstance(request, protocol.ListBans):
            return {"bans": list(self.bans.values()), "total": len(self.bans), "cursor": ""}
        assert isinstance(request, protocol.Events)
        page = [event for event in self.events[self.first :] if event["number"] > request.after]
        lost = max(0, self.first - request.after)
        return {"run": self.run, "last": len(self.events), "more": False, "lost": lost, "events": page}


@pytest.mark.parametrize("seed", range(30))
def test_what_is_written_adds_up(seed: int) -> None:
    """Restarts, lost events, bans of other sets, modes and ports: the lines lead to the very bans in force."""
    chance, world = random.Random(seed), World()
    for _ in range(chance.randrange(4)):
        world.step(chance)
    following = export_follow._Following(world, "ban", 100)  # type: ignore[arg-type]
    following.list_all()
    built: set[str] = set()
    for _ in range(60):
        for line in following.bans.lines(NOTATIONS["changes"], _ELSEWHERE):
            what, network = line.split()
            (built.add if what == "add" else built.remove)(network)
        assert built == {
            network if "/" in network else f"{network}/{128 if ':' in network else 32}" for network in world.bans
        }
        event = chance.random()
        if event < 0.1:
            world.restart()
        elif event < 0.2:
            world.forget()
        for _ in range(chance.randrange(3)):
            world.step(chance)
        following.ask()


def test_nothing_is_withdrawn_while_the_daemon_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, and the next answer continues."""
    world = World()
    world.step(random.Random(1))
    following = export_follow._Following(world, "ban", 100)  # type: ignore[arg-type]
    following.list_all()
    following.bans.lines(NOTATIONS["changes"], _ELSEWHERE)
    answer = world.ask

    def away(request: Request) -> Any:
        raise NotRunning("nobody answers")

    world.ask = away  # type: ignore[method-assign]
    following.ask()
    following.ask()
    assert following.bans.lines(NOTATIONS["changes"], _ELSEWHERE) == []
    assert capsys.readouterr().err.count("what was exported stays") == 1
    world.ask = answer  # type: ignore[method-assign]
    world.restart()
    following.ask()
    assert [line.split()[0] for line in following.bans.lines(NOTATIONS["changes"], _ELSEWHERE)] == ["del"]


def test_only_so_many_of_the_newest() -> None:
    """Where there is no room for all, the newest are written; an older one follows when there is room again."""
    followed = Followed("ban", 2)
    followed.restart(_ban(f"192.0.2.{number}", float(number)) for number in range(5))
    assert followed.lines(NOTATIONS["changes"], _ELSEWHERE) == ["add 192.0.2.3/32", "add 192.0.2.4/32"]
    assert followed.left_out == 3
    followed.take({**_ban("192.0.2.4"), "event": "end", "remaining_until_s": None})
    assert followed.lines(NOTATIONS["changes"], _ELSEWHERE) == ["del 192.0.2.4/32", "add 192.0.2.2/32"]


def test_nothing_is_sorted_while_nothing_changes() -> None:
    """Twice a second a hundred thousand bans would take a seventh of a core."""

    class Untouchable(dict[str, float]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("all bans were gone through")

    followed = Followed("ban", 2)
    followed.restart([_ban("192.0.2.1")])
    assert followed.lines(NOTATIONS["changes"], _ELSEWHERE) == ["add 192.0.2.1/32"]
    followed._since_s = Untouchable(followed._since_s)
    followed.take({**_ban("192.0.2.2"), "event": "ban", "set": "shun"})
    assert followed.lines(NOTATIONS["changes"], _ELSEWHERE) == []
    followed.take({**_ban("192.0.2.2"), "event": "ban"})
    with pytest.raises(AssertionError):
        followed.lines(NOTATIONS["changes"], _ELSEWHERE)


def test_notations() -> None:
    """Each is what its program reads: routes with BLACKHOLE, and objects that a policy selects by label."""
    both = ["192.0.2.7/32", "2001:db8::/64"]
    written = {name: list(write(_ELSEWHERE, both, both[:1], ["198.51.100.3/32"])) for name, write in NOTATIONS.items()}
    assert written["exabgp"] == [
        "withdraw route 198.51.100.3/32 next-hop self",
        "announce route 192.0.2.7/32 next-hop self community [65535:666]",
    ]
    group, networks = (yaml.safe_load(written[name][0]) for name in ("cilium", "calico"))
    assert (group["kind"], group["spec"]) == ("CiliumCIDRGroup", {"externalCIDRs": both})
    assert (networks["kind"], networks["spec"]) == ("GlobalNetworkSet", {"nets": both})
    assert group["metadata"] == networks["metadata"]
    assert all("\n" not in line for lines in written.values() for line in lines)


@pytest.mark.parametrize(
    ("given", "hops"),
    [
        (["self"], {4: "self", 6: "self"}),
        (["192.0.2.1"], {4: "192.0.2.1"}),
        (["2001:db8::1", "192.0.2.1"], {4: "192.0.2.1", 6: "2001:db8::1"}),
        (["192.0.2.1", "self"], {4: "192.0.2.1", 6: "self"}),
    ],
)
def test_a_route_has_a_next_hop_of_its_family_or_is_none(given: list[str], hops: dict[int, str]) -> None:
    """A peer may end the session for another one, and with it all routes."""
    assert next_hops(given) == hops
    both = ["192.0.2.7/32", "2001:db8::/64"]
    lines = list(NOTATIONS["exabgp"](Elsewhere(name="a", next_hops=hops), both, both, both))
    wanted = [
        f"route {network} next-hop {hops[version]}"
        for version, network in zip((4, 6), both, strict=True)
        if version in hops
    ]
    assert [line.partition(" community")[0] for line in lines] == [
        f"{what} {route}" for what in ("withdraw", "announce") for route in wanted
    ]


def test_names_of_objects_are_names_of_kubernetes() -> None:
    """Whatever a host is called."""
    assert object_name("Node_7.example.org") == "nodewarden-node-7"
    assert object_name("___") == "nodewarden-node"
    assert len(object_name("x" * 200)) == 63


def test_one_look() -> None:
    """Without --follow the command writes once: also that there are none, where all are named each time."""
    world = World()
    done = CliRunner().invoke(export_bans, ["--format", "calico", "--name", "x"], obj=world, catch_exceptions=False)
    assert json.loads(done.output)["spec"] == {"nets": []}
    world.step(random.Random(1))
    done = CliRunner().invoke(export_bans, ["--format", "exabgp", "--next-hop", "192.0.2.1"], obj=world)
    assert done.output.startswith("announce route ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--follow"],
        ["--follow", "--format", "json"],
        ["--format", "exabgp", "--community", "1]\nwithdraw"],
        ["--format", "exabgp", "--next-hop", "a b"],
    ],
    ids=["plain", "json", "injection", "next hop"],
)
def test_what_cannot_be_followed_is_said(arguments: list[str]) -> None:
    """A usage error, and nothing is written."""
    done = CliRunner().invoke(export_bans, arguments, obj=World())
    assert done.exit_code == 2
