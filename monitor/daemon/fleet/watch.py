"""How the fleet is, for `status`, metrics and commands: problems, notices, samples, plain data.

A fleet may have thousands of nodes, and problems are asked for each second: the view and what differs in it are made at
most every few seconds, the more nodes the less often.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from monitor.fleet import comparison, presentation  # late: see monitor/cli/slim.py
from monitor.fleet.overview import FleetView, NodeView
from monitor.metrics.metric import Sample
from monitor.model.bans import Mode
from monitor.model.problems import Problem, ProblemKind, of_kind
from monitor.model.requirements import Part, PartKind, Requirement

if TYPE_CHECKING:
    from monitor.fleet.comparison import Difference, Subject

_REFRESH_S = 1.0
_NODES_A_SECOND = 200
"""Nodes that are compared for each second of age of the view: one costs 4 us, in which no ban is set."""
_GRACE_S = 5.0
"""For how long the server may be away without a problem: it is connected to again within a second after a restart."""
_WAIT_S = 60.0
_STALE_S = 60.0
"""Nodes say how they are every 20 s: until then, a difference may only be news that has not come yet."""
_DIFFERS_S = 900.0
"""After this time a difference is a problem: before that it may be a change that is being rolled out."""
_OFFSET_S = 5.0
_MAX_LABELS = 32
OTHER = "other"
PEER_STATES = ("alive", "silent", "observed")


class Fleet(Protocol):
    """The node's place in a fleet."""

    def view(self, now_s: float) -> FleetView | None:
        """Return the fleet as of now (wall time, seconds); None: this node is in none."""
        ...

    def problems(self) -> list[str]:
        """Say what is wrong and not in the view."""
        ...

    def notices(self) -> list[str]:
        """Say what people should know and is not in the view."""
        ...


class FleetWatch:
    """Looks at the fleet, if there is one."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at nothing yet."""
        self._fleet = fleet
        self._clock = clock
        self._made_s = float("-inf")
        self._kept: FleetView | None = None
        self._differences: list[Difference] = []
        self._since_s: dict[Subject, float] = {}

    def refresh(self) -> FleetView | None:
        """Return the fleet as it was a moment ago."""
        now_s = self._clock()
        size = len(self._kept.nodes) if self._kept else 0
        if now_s - self._made_s >= _REFRESH_S + size / _NODES_A_SECOND:
            self._made_s = now_s
            self._kept = self._fleet.view(time.time())
            self._differences = comparison.differing(self._kept.nodes) if self._kept else []
            found = {one.subject for one in self._differences}
            self._since_s = {subject: self._since_s.get(subject, now_s) for subject in found}
        return self._kept

    @property
    def differences(self) -> "list[Difference]":
        """Who differs from the others."""
        self.refresh()
        return self._differences

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the fleet, as seen from here."""
        if (view := self.refresh()) is None:
            return
        if not view.is_connected:
            if view.changed_s > _GRACE_S:
                why = view.problem or "it does not answer"
                text = f"the fleet's server {view.url} cannot be used: {why}; bans in force stay until they end"
                yield Problem(ProblemKind.FLEET, text)
        elif view.problem:
            yield Problem(ProblemKind.FLEET, f"the fleet's server {view.url}: {view.problem}")
        if view.is_connected and view.waiting_s > _WAIT_S:
            text = f"{view.waiting} changes wait for {view.waiting_s:.0f} s to be published to the fleet"
            yield Problem(ProblemKind.FLEET_WAITING, text)
        if view.omitted_nodes:
            text = f"the fleet has more nodes than are followed: {view.omitted_nodes} are ignored"
            yield Problem(ProblemKind.FLEET, text)
        yield from of_kind(ProblemKind.FLEET, self._fleet.problems())
        yield from _breakers(view)
        for one, for_s in self._aged():
            if for_s > _DIFFERS_S:
                yield Problem(ProblemKind.FLEET_DIFFERS, f"fleet: {one.text} (`nodewarden fleet status`)")

    def notices(self) -> Iterator[str]:
        """Yield what a person should know, and what is no problem yet."""
        if (view := self.refresh()) is None:
            return
        for one, for_s in self._aged():
            if _STALE_S < for_s <= _DIFFERS_S:
                yield f"fleet: {one.text} (`nodewarden fleet status`)"
        yield from self._fleet.notices()
        if silent := [one.name for one in view.nodes if not one.is_alive and not one.is_self]:
            yield f"fleet: no sign of life of {comparison.names(silent)}; their bans run out"
        if abs(view.clock_offset_s) > _OFFSET_S:
            yield f"fleet: the server's clock is {view.clock_offset_s:+.0f} s from this node's; times are converted"

    def describe(self) -> dict[str, Any] | None:
        """Return the fleet for `status`: counts, and who differs; None without one."""
        if (view := self.refresh()) is None:
            return None
        return presentation.summary(view, self._aged())

    def page(self, after: str, limit: int, wanted: frozenset[str]) -> dict[str, Any]:
        """Return one page of nodes by name, those after a name; `after` of the result asks for the next, if any."""
        view = self.refresh()
        if view is None:
            return {"fleet": None, "nodes": [], "after": ""}
        nodes = [one for one in view.nodes if one.name > after]
        if wanted:
            nodes = [one for one in nodes if one.name in wanted]
        page = nodes[:limit]
        return {
            "fleet": presentation.summary(view, self._aged()),
            "nodes": [presentation.show_node(one) for one in page],
            "after": page[-1].name if len(nodes) > len(page) and page else "",
        }

    def _aged(self) -> "list[tuple[Difference, float]]":
        """Return who differs, and for how many seconds somebody has in that subject."""
        now_s = self._clock()
        return [(one, now_s - self._since_s[one.subject]) for one in self._differences]

    def part(self) -> Part:
        """Return what doctor says about it."""
        is_wanted = self.refresh() is not None
        missing = "; ".join(one.text for one in self.problems())
        needed = Requirement("the fleet's server, and nodes that agree", missing, "nodewarden fleet status")
        return Part("fleet", PartKind.SERVICE, is_wanted, [needed] if is_wanted else [], is_optional=True)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples; none without a fleet."""
        if (view := self.refresh()) is None:
            return
        yield "nodewarden_fleet_up", (), float(view.is_connected)
        yield "nodewarden_fleet_clock_offset_seconds", (), view.clock_offset_s
        yield "nodewarden_fleet_waiting_changes", (), view.waiting
        yield "nodewarden_fleet_waiting_seconds", (), view.waiting_s
        yield "nodewarden_fleet_published_total", (), view.published
        yield "nodewarden_fleet_withdrawn_total", (), view.withdrawn
        yield "nodewarden_fleet_adopted_total", (), view.adopted
        yield "nodewarden_fleet_pardons", (), view.pardons
        for cause, count in view.refused.items():
            yield "nodewarden_fleet_refused_total", (cause,), count
        peers = [one for one in view.nodes if not one.is_self]
        states = [_state(one) for one in peers]
        for state in PEER_STATES:
            yield "nodewarden_fleet_peers", (state,), states.count(state)
        yield "nodewarden_fleet_lag_seconds", (), max((one.lag_s or 0.0 for one in peers), default=0.0)
        for subject in comparison.Subject:
            count = sum(len(one.nodes) for one in self._differences if one.subject is subject)
            yield "nodewarden_fleet_differing_nodes", (subject,), count
        yield from _bans(peers)


def _breakers(view: FleetView) -> Iterator[Problem]:
    tripped = [one for one in view.nodes if one.breaker]
    for one in tripped[:_MAX_LABELS]:
        text = f"node {one.name} of the fleet is only observed: {one.breaker}"
        yield Problem(ProblemKind.FLEET_BREAKER, f"{text}; `nodewarden fleet trust {one.name}` once it is well again")
    if len(tripped) > _MAX_LABELS:
        text = f"{len(tripped) - _MAX_LABELS} more nodes of the fleet are only observed: `nodewarden fleet status`"
        yield Problem(ProblemKind.FLEET_BREAKER, text)


def _state(node: NodeView) -> str:
    return "observed" if node.breaker else "alive" if node.is_alive else "silent"


def _bans(peers: list[NodeView]) -> Iterator[Sample]:
    """Yield how many bans each peer has here; those beyond a number of names as one."""
    named = sorted((one for one in peers if one.name != OTHER), key=lambda one: one.name)[:_MAX_LABELS]
    for one in named:
        yield "nodewarden_fleet_peer_bans", (one.name, Mode.ENFORCE), one.enforced
        yield "nodewarden_fleet_peer_bans", (one.name, Mode.OBSERVE), one.observed
    shown = {one.name for one in named}
    if rest := [one for one in peers if one.name not in shown]:
        yield "nodewarden_fleet_peer_bans", (OTHER, Mode.ENFORCE), sum(one.enforced for one in rest)
        yield "nodewarden_fleet_peer_bans", (OTHER, Mode.OBSERVE), sum(one.observed for one in rest)
