"""Batches of flows, from what connection tracking told to what was decided."""

import logging
from typing import Any

import msgspec
import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.wiring import build_guard, build_surrounding
from monitor.detectors.connection_rate import ConnectionRateSettings
from monitor.detectors.egress import EgressSettings
from monitor.detectors.half_open import HalfOpenSettings
from monitor.detectors.open_connections import OpenConnectionsSettings
from monitor.detectors.port_scan import PortScanSettings
from monitor.detectors.protected_port import ProtectedPortSettings
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.alerts import FloodAlert, Strength
from monitor.model.bans import AllowEntry, Mode
from monitor.model.flows import FlowBatch, FlowClosed, FlowOpened, ListenTotals
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.node.addresses import OWN_ADDRESS
from monitor.node.kubernetes import POD_NETWORK
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.flows import CLIENT, NODE, flow, handshakes, incomplete
from tests.support.policy import small_table

OUTSIDE, POD, FRIEND = "203.0.113.9", "10.244.1.7", "192.0.2.77"
NODE_ENTRIES = (
    AllowEntry(parse_network(NODE), OWN_ADDRESS),
    AllowEntry(parse_network("10.244.0.0/16"), f"{POD_NETWORK} (flannel)"),
    AllowEntry(parse_network(FRIEND), "a gateway of this node"),
)
SECTIONS: dict[str, Any] = {
    "port_scan": PortScanSettings(mode=Mode.OBSERVE),
    "half_open": HalfOpenSettings(mode=Mode.OBSERVE, maxretry=10, total=100),
    "connection_rate": ConnectionRateSettings(maxretry=10),
    "open_connections": OpenConnectionsSettings(maxretry=10),
    "protected_port": ProtectedPortSettings(),
    "egress": EgressSettings(approved=(parse_network("198.18.0.0/15"),)),
}


def settings(**sections: Any) -> Settings:
    """Return settings in which nothing bans and ten of anything are too many."""
    return Settings(detectors=Detectors(**SECTIONS | sections))


def pipeline(given: Settings | None = None) -> Pipeline:
    """Return a pipeline that only observes, on a node with pods and a gateway."""
    return Pipeline(given or settings(), NODE_ENTRIES, small_table, (DecisionLog(),))


def feed(stages: Pipeline, time_s: float = 1000.0, **more: Any) -> list[Decision]:
    """Take one batch all the way."""
    more.setdefault("listen_totals", ListenTotals(accepted=round(1e6 * time_s)))  # more than anybody claims
    return stages.process([FlowBatch(time_s, **more)], time_s)


def names(decisions: list[Decision]) -> list[tuple[str, str]]:
    """Return who was decided on, and because of which detector."""
    return [(str(decision.network), decision.detector) for decision in decisions]


def test_alerts_of_flows_become_decisions() -> None:
    """Ten connections that stay open are two offences; each is observed, counted and on record."""
    stages = pipeline()
    decisions = feed(stages, completed=handshakes(10))
    assert names(decisions) == [(CLIENT, "connection_rate"), (CLIENT, "open_connections")]
    assert {decision.verdict for decision in decisions[:1]} == {Verdict.OBSERVE}
    assert stages.metrics.alerts == {
        (name, Mode.OBSERVE, Strength.SPOOFABLE): 1 for name in ("connection_rate", "open_connections")
    }
    assert stages.metrics.decisions.total() == 2


@pytest.mark.parametrize("source", [NODE, POD, FRIEND, "224.0.0.5"])
def test_flows_of_the_protected_raise_nothing(source: str) -> None:
    """Not a decision, not even one to spare them, whatever they do: it is no offence, and no line in the log."""
    stages = pipeline()
    attempts = [incomplete(source, port) for port in range(100)]
    flows = [*handshakes(100, source), *handshakes(9, source, 2379, id=200)]
    assert feed(stages, completed=flows, incomplete=attempts, opened=[flow(FlowOpened, source, to=FRIEND)]) == []
    assert stages.metrics.alerts.total() == 0
    assert stages.metrics.decisions.total() == 0
    assert list(stages.ledger.bans()) == []


def test_proofs_are_applied_to_alerts() -> None:
    """What its handshakes prove, once settled, decides where a ban goes; a scan in the same name stays spoofable."""
    stages = pipeline(settings(open_connections=OpenConnectionsSettings()))
    feed(stages, invalid_total=7)
    (before,) = feed(stages, 1001.0, completed=handshakes(10))
    assert before.ban is not None
    assert before.ban.strength is Strength.SPOOFABLE
    (after,) = feed(stages, 1002.0, completed=handshakes(10, id=20), invalid_total=7)
    assert after.ban is not None
    assert after.alert is not None
    assert (after.ban.strength, after.alert.strength) == (Strength.PROVEN, Strength.PROVEN)
    forged = feed(stages, 1003.0, incomplete=[incomplete(port=port) for port in range(20)], invalid_total=7)
    assert {decision.detector for decision in forged} == {"half_open", "port_scan"}
    assert {decision.alert.strength for decision in forged if decision.alert} == {Strength.SPOOFABLE}


def test_guesses_beside_the_handshakes_take_the_proof() -> None:
    """The same batch tells of both: 200,000 invalid packets and ten handshakes prove nothing."""
    stages = pipeline(settings(open_connections=OpenConnectionsSettings()))
    feed(stages, invalid_total=7)
    (decision,) = feed(stages, 1001.0, completed=handshakes(10), invalid_total=200_007)
    assert decision.ban is not None
    assert decision.ban.strength is Strength.SPOOFABLE


@pytest.mark.parametrize("has_gap", [False, True])
def test_floods_are_kept_counted_and_logged(has_gap: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is banned for one; `status`, the metric and the log have it."""
    stages = pipeline()
    assert stages.floods.last == {}
    opened = [flow(FlowOpened, f"203.0.113.{number}", 443) for number in range(100)]
    with caplog.at_level(logging.WARNING):
        assert feed(stages, opened=opened, attempts=100, has_gap=has_gap) == []
        assert feed(stages, 1001.0, has_gap=has_gap) == []
        assert feed(stages, 1001.5, has_gap=has_gap) == []
    flood = stages.floods.last["half_open"]
    assert isinstance(flood, FloodAlert)
    assert (flood.target, flood.evidence.count) == (f"tcp/443 of {NODE}", 100)
    assert stages.metrics.alerts == {("half_open", Mode.OBSERVE, Strength.SPOOFABLE): 1}
    assert stages.metrics.floods == {"half_open": 1}
    assert caplog.messages == [f"half_open: {flood}"]
    feed(stages, 1020.0, attempts=200)
    feed(stages, 1021.0)
    assert (stages.floods.last["half_open"].time_s, stages.metrics.floods["half_open"]) == (1021.0, 2)


def test_attempts_that_came_to_nothing_are_events_of_their_own() -> None:
    """They reach the detectors of packets and count by kind, those of the protected as events only."""
    stages = pipeline()
    scan = [incomplete(port=port, was_refused=True) for port in range(15)]
    own = [incomplete(NODE, port, was_refused=True) for port in range(15)]
    assert names(feed(stages, incomplete=[*scan, *own])) == [(CLIENT, "port_scan")]
    assert stages.events_by_kind["flow_incomplete"] == 30


def test_several_batches_are_taken_in_turn() -> None:
    """One look may hold more than one, each with a time of its own."""
    stages = pipeline()
    batches = [FlowBatch(1000.0, completed=handshakes(9)), FlowBatch(1001.0, completed=handshakes(1, id=10))]
    assert [decision.alert.time_s for decision in stages.process(batches, 1001.0) if decision.alert] == [1001.0] * 2


def test_a_flow_out_is_a_decision_about_its_destination() -> None:
    """Of the node and of a pod; approved ones, and those to whom the node needs, are none."""
    stages = pipeline()
    to = [OUTSIDE, "198.18.0.1", FRIEND, "224.0.0.251", POD]
    decisions = feed(stages, opened=[flow(FlowOpened, source, to=one) for source in (NODE, POD) for one in to])
    assert names(decisions) == [(OUTSIDE, "egress")]
    assert decisions[0].ban is not None
    assert decisions[0].ban.strength is Strength.DESTINATION


def test_who_is_where_is_followed() -> None:
    """An address that the node gets is its own, a network that is allowed by command approved, until it is not."""
    stages = pipeline()
    flows = [flow(FlowOpened, "192.0.2.200", to=OUTSIDE)]
    assert feed(stages, opened=flows) == []
    stages.follow_node([AllowEntry(parse_network("192.0.2.200"), OWN_ADDRESS)], 1000.0)
    assert names(feed(stages, opened=flows)) == [(OUTSIDE, "egress")]
    stages = pipeline()
    stages.allow([AllowEntry(parse_network("203.0.113.0/24"), "by command")], 1000.0)
    assert feed(stages, opened=[flow(FlowOpened, NODE, to=OUTSIDE)]) == []
    stages.disallow([parse_network("203.0.113.0/24")], 1001.0)
    assert len(feed(stages, opened=[flow(FlowOpened, NODE, to=OUTSIDE)])) == 1


def test_surroundings_are_read_from_the_allowlist() -> None:
    """The node's own addresses and the pods by the reasons they are on it, all else that is allowed as protected."""
    guard = build_guard(Settings(), (), NODE_ENTRIES)
    surrounding = build_surrounding(Settings(), guard, NODE_ENTRIES, NodeNetworks(), Sysctls())
    assert surrounding.own == {parse_address(NODE)}
    assert parse_address(POD) in surrounding.pods
    assert parse_address(FRIEND) not in surrounding.pods
    for text, is_protected in ((NODE, True), (POD, True), (FRIEND, True), ("127.0.0.1", True), (OUTSIDE, False)):
        assert (parse_address(text) in surrounding.protected) is is_protected


def test_a_reload_tells_new_detectors_who_is_where() -> None:
    """A detector that begins with the new configuration knows the allowlist from its first flow."""
    stages = pipeline(settings(egress=EgressSettings()))
    assert feed(stages, opened=[flow(FlowOpened, NODE, to=OUTSIDE)]) == []
    stages.reconfigure(settings(), (), 1000.0)
    flows = [flow(FlowOpened, NODE, to=one) for one in (OUTSIDE, FRIEND)]
    assert names(feed(stages, opened=flows)) == [(OUTSIDE, "egress")]


def test_a_reload_keeps_proofs_unless_they_are_counted_otherwise() -> None:
    """What is proven does not depend on thresholds, but on how long a prefix is one origin."""
    stages = pipeline()
    known = stages.proofs
    stages.reconfigure(settings(connection_rate=ConnectionRateSettings(maxretry=20)), (), 1000.0)
    assert stages.proofs is known
    prefixes = msgspec.structs.replace(Settings().bans.prefixes, ipv6_score=56)
    bans = msgspec.structs.replace(Settings().bans, prefixes=prefixes)
    stages.reconfigure(msgspec.structs.replace(settings(), bans=bans), (), 1000.0)
    assert (stages.proofs.ipv6_prefix, stages.proofs is known) == (56, False)


def test_traffic_is_counted_by_direction() -> None:
    """All of it, that of the protected too, by the node's own addresses."""
    stages = pipeline()
    closed = [
        flow(FlowClosed, source, to=to, original_bytes=9, reply_bytes=1) for source, to in ((POD, NODE), (NODE, POD))
    ]
    feed(stages, opened=[flow(FlowOpened, FRIEND)], ending=closed)
    samples = {(name, *labels): value for name, labels, value in stages.traffic.samples()}
    assert samples["nodewarden_flows_total", "opened", "tcp", "in"] == 1
    assert (samples["nodewarden_flow_bytes_total", "in"], samples["nodewarden_flow_bytes_total", "out"]) == (10, 10)


def test_the_neighbour_of_an_allowed_host_is_spared_with_it() -> None:
    """Flows are counted by /64: where that holds somebody allowed, a decision says so and nobody is banned."""
    stages = pipeline()
    stages.allow([AllowEntry(host(parse_address("2001:db8::1")), "by command")], 1000.0)
    decisions = feed(stages, completed=handshakes(10, "2001:db8::bad"))
    assert {decision.verdict for decision in decisions} == {Verdict.ALLOWLISTED}
    assert len(decisions) == 2


def test_nothing_comes_of_nothing() -> None:
    """Empty batches, and a look that took in only the table's total."""
    stages = pipeline()
    assert stages.process([], 1000.0) == []
    assert feed(stages) == feed(stages, 1001.0, invalid_total=5) == []
    assert stages.events == 0
