"""Answers to the commands about the fleet, as plain data."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from monitor.bans.decision import Ended
from monitor.control.fleet_requests import MAX_FLEET_PAGE, MAX_PARDONED, FleetPardon, FleetStatus, FleetTrust
from monitor.control.protocol import MAX_BANTIME_S, MIN_BANTIME_S
from monitor.daemon.fleet.watch import FleetWatch
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.fleet import pardons  # late: see monitor/cli/slim.py
from monitor.fleet.overview import FleetView
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Mode
from monitor.model.errors import NodewardenError
from monitor.model.parts import in_parts

_MAX_REASON = 128
_SLICE = 32
NO_FLEET = "this node is in no fleet: set `fleet.url` (docs/fleet.md), or leave out --fleet"
Answer = dict[str, Any]


class NoFleetError(NodewardenError):
    """The order is for a fleet, or a node of it, that there is not; the message is for whoever sent it."""


class Fleet(Protocol):
    """The node's place in a fleet."""

    def pardon(self, networks: Sequence[Network], until_s: float, reason: str, now_s: float) -> list[Ended]:
        """Have all nodes let networks go until a time."""
        ...

    def pardoned(self, network: Network, now_s: float) -> tuple[float, str] | None:
        """Return until when a network is pardoned, and why."""
        ...

    def trust(self, node: str, now_s: float) -> bool:
        """Reset a breaker."""
        ...


class FleetAnswers:
    """Carries out what people order of the fleet, and shows it."""

    def __init__(self, fleet: Fleet, watch: FleetWatch, pipeline: Pipeline) -> None:
        """`watch` is how the fleet is."""
        self._fleet = fleet
        self._watch = watch
        self._pipeline = pipeline

    def answer(self, request: FleetStatus | FleetTrust) -> dict[str, Any]:
        """Answer a request that is no ban; NoFleetError if there is no such node."""
        match request:
            case FleetStatus():
                limit = max(1, min(request.limit, MAX_FLEET_PAGE))
                return self._watch.page(request.after, limit, frozenset(request.nodes))
            case FleetTrust():
                return self._trust(request.node)

    def slices(self, request: FleetPardon) -> Iterator[Callable[[], list[Answer]]]:
        """Yield a pardon in slices that the loop carries out between its other work."""
        self.require()
        now_s = time.time()
        if not MIN_BANTIME_S <= request.for_s <= MAX_BANTIME_S:
            raise NoFleetError(f"a pardon lasts from 1 s to 10 years, not {request.for_s:g} s")
        if len(request.networks) > MAX_PARDONED:
            raise NoFleetError(f"at most {MAX_PARDONED} networks can be pardoned at once, not {len(request.networks)}")
        for part in in_parts(request.networks, _SLICE):
            yield partial(self._pardon, part, now_s + request.for_s, request.reason[:_MAX_REASON])

    def require(self) -> FleetView:
        """Return the fleet; NoFleetError without one."""
        if (view := self._watch.refresh()) is None:
            raise NoFleetError(NO_FLEET)
        return view

    def publishing(self) -> str:
        """Say when the fleet learns of an order."""
        if self.require().is_connected:
            return "published to the fleet"
        return "published to the fleet as soon as its server answers"

    def announced(self, answers: Sequence[Answer], note: str) -> list[Answer]:
        """Add to the answers for bans of the whole fleet when it learns of them, `note`, and what bars one of them."""
        told = f"{self.publishing()}{note}"
        return [
            one | {"text": f"{one['text']}; {told}{self._bar(one['network'])}"} if one["done"] else one
            for one in answers
        ]

    def _bar(self, network: str) -> str:
        """Say that a pardon keeps other nodes from taking a ban over; empty if none does."""
        pardon = self.pardon_of(parse_network(network))
        return f"; PROBLEM: other nodes do not take it over, it is pardoned {pardon['reason']}" if pardon else ""

    def pardon_of(self, network: Network) -> dict[str, Any] | None:
        """Show the pardon that bars a network from being taken over; None if there is none."""
        now_s = time.time()
        if (found := self._fleet.pardoned(network, now_s)) is None:
            return None
        until_s, reason = found
        return {"until_s": until_s, "left_s": max(0.0, until_s - now_s), "reason": reason}

    def _pardon(self, texts: Sequence[str], until_s: float, reason: str) -> list[Answer]:
        now_s = time.time()
        answers: list[Answer] = []
        networks: dict[str, Network] = {}
        for text in texts:
            try:
                networks[text] = _pardonable(text)
            except ValueError as error:
                answers.append({"network": text, "done": False, "text": str(error)})
        ended = self._fleet.pardon(list(networks.values()), until_s, reason, now_s) if networks else []
        lifted = {one.ban.network.whole for one in ended}
        told = self.publishing()
        for network in networks.values():
            here = "lifted here" if network in lifted else "not banned here"
            text = f"pardoned, {here}; {told}{self._still_inside(network)}"
            answers.append({"network": str(network), "done": True, "text": text})
        return answers

    def _still_inside(self, network: Network) -> str:
        """Name what keeps a network banned all the same; empty if nothing does."""
        covering = [ban for ban in self._pipeline.ledger.covering(network) if ban.mode is Mode.ENFORCE]
        around = [str(ban.network) if ban.network.whole != network else f"the {ban.origin}" for ban in covering]
        return f"; still banned by {', '.join(around)}: unban that" if around else ""

    def _trust(self, node: str) -> dict[str, Any]:
        self.require()
        if not self._fleet.trust(node, time.time()):
            text = f"{node[:64]!r} is no node of the fleet that is only observed"
            raise NoFleetError(f"{text}: see `nodewarden fleet status`")
        return {"node": node, "text": f"{node} is trusted again"}


def _pardonable(text: str) -> Network:
    """Read a network that may be pardoned; ValueError for any other."""
    network = parse_network(text)
    if pardons.is_too_wide(network):
        widest = pardons.WIDEST_PARDON[network.bits]
        raise ValueError(f"{network} is wider than /{widest}, which no node pardons")
    return network
