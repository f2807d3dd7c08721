"""What ordinary life does is sorted out before detectors count, through the whole pipeline."""

from typing import Any

import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.daemon.pipeline.evidence import CORROBORATING_ALERTS, LONGEST_CLIENT_SHUN_S
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Mode
from monitor.model.flows import FlowBatch, FlowClosed, FlowEstablished, FlowIncomplete, FlowOpened, ListenTotals
from monitor.model.networks import NodeNetworks
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS
from monitor.node.addresses import OWN_ADDRESS
from monitor.settings.bans import Bans, Internal
from monitor.settings.schema import Settings
from tests.support.events import failure, tcp
from tests.support.flows import CLIENT, NODE, flow, handshakes, incomplete
from tests.support.policy import willing_table

CONTAINER, ELSEWHERE = "172.17.0.2", "203.0.113.9"
NODE_ENTRIES = (AllowEntry(parse_network(NODE), OWN_ADDRESS),)


def pipeline(settings: Settings | None = None) -> Pipeline:
    """Return one on a node with a network of containers behind it; detectors enforce as by default."""
    stages = Pipeline(settings or Settings(), NODE_ENTRIES, willing_table)
    stages.follow_node(NODE_ENTRIES, 999.0, NodeNetworks(behind=(parse_network("172.17.0.0/16"),)))
    return stages


def feed(stages: Pipeline, time_s: float = 1000.0, **more: Any) -> list[Decision]:
    """Take one batch all the way."""
    more.setdefault("listen_totals", ListenTotals(accepted=round(1e6 * time_s)))  # more than anybody claims
    return stages.process([FlowBatch(time_s, **more)], time_s)


def refused(ports: range, source: str = CLIENT, **more: Any) -> list[FlowIncomplete]:
    """Return attempts that the node turned down."""
    return [incomplete(source, port, was_refused=True, **more) for port in ports]


def in_force(stages: Pipeline) -> list[str]:
    """Return whom bans of any kind concern."""
    return [str(ban.network) for ban in stages.ledger.bans()]


def test_a_stranger_that_tries_ports_is_found() -> None:
    """The control of all tests below."""
    stages = pipeline()
    assert [one.detector for one in feed(stages, incomplete=refused(range(15)))] == ["port_scan"]


def test_what_the_node_answered_is_no_probe() -> None:
    """A load balancer that checks 20 ports half-open, again and again."""
    stages = pipeline()
    checks = [incomplete(port=port, was_answered=True) for port in range(30_000, 30_020)]
    assert [feed(stages, 1000.0 + 5 * turn, incomplete=checks) for turn in range(10)] == [[]] * 10


@pytest.mark.parametrize("known_by", ["a connection", "an answer", "a listener", "destination NAT"])
def test_services_that_restart_are_no_evidence(known_by: str) -> None:
    """Whole checks that are refused for a while."""
    stages = pipeline()
    ports = range(30_000, 30_020)
    checks = refused(ports)
    if known_by == "a connection":
        feed(stages, completed=[flow(FlowEstablished, port=port) for port in ports])
    elif known_by == "an answer":
        feed(stages, incomplete=[incomplete(port=port, was_answered=True) for port in ports])
    elif known_by == "a listener":
        stages.evidence.services.follow((ANY_ADDRESS, PROTOCOL_TCP, port) for port in ports)
    else:
        pod: dict[str, Any] = {"real_destination": parse_address(CONTAINER), "real_destination_port": 80}
        checks = refused(ports, **pod)
    assert feed(stages, 2000.0, incomplete=checks) == []
    assert stages.events_by_kind["flow_incomplete"] >= 20


def test_ports_that_become_services_end_the_ban() -> None:
    """A load balancer whose services were never seen before they were up; a scanner of other ports stays banned."""
    stages = pipeline()
    feed(stages, incomplete=refused(range(30_000, 30_020)) + refused(range(100, 115), "198.51.100.9"))
    bans = stages.ledger
    for source in (CLIENT, "198.51.100.9"):
        bans_of = bans.covering(parse_network(source))
        assert [ban.detector for ban in bans_of] == ["port_scan"] or not bans_of
    stages.evidence.services.follow((ANY_ADDRESS, PROTOCOL_TCP, port) for port in range(30_000, 30_020))
    stages.tick(1001.0)
    assert bans.covering(parse_network(CLIENT)) == []


def test_ports_that_became_services_meanwhile_do_not_count() -> None:
    """Ten refused ones are services when five others are refused."""
    stages = pipeline()
    assert feed(stages, incomplete=refused(range(30_000, 30_010))) == []
    stages.evidence.services.follow((ANY_ADDRESS, PROTOCOL_TCP, port) for port in range(30_000, 30_010))
    assert feed(stages, 1001.0, incomplete=refused(range(31_000, 31_005))) == []
    assert len(feed(stages, 1002.0, incomplete=refused(range(31_005, 31_015)))) == 1


def test_attempts_of_hosts_behind_are_not_about_us() -> None:
    """Silent targets, a dead host, ten thousand connections; many of them are an observed outbound scan."""
    stages = pipeline()
    silent = [incomplete(CONTAINER, 443, to=f"203.0.113.{number}") for number in range(12)]
    assert feed(stages, incomplete=silent + refused(range(16), CONTAINER, to=ELSEWHERE)) == []
    own = parse_address(NODE)
    masqueraded = refused(range(100, 120), "10.9.9.9", to=ELSEWHERE, translated_source=own)
    assert feed(stages, incomplete=masqueraded) == []
    scan = refused(range(100, 200), CONTAINER, to=ELSEWHERE)
    assert [(one.detector, one.verdict) for one in feed(stages, incomplete=scan)] == [
        ("outbound_scan", Verdict.OBSERVE)
    ]
    assert feed(stages, completed=handshakes(40_000, CONTAINER, to=ELSEWHERE)) == []


def test_a_host_behind_that_scans_the_node_is_found() -> None:
    """What it does to us is about us."""
    (decision,) = feed(pipeline(), incomplete=refused(range(15), CONTAINER))
    assert decision.detector == "port_scan"


def test_logged_packets_from_behind_are_not_about_us() -> None:
    """A firewall that logs what it does not let out."""
    stages = pipeline()
    lines = [tcp(CONTAINER, port, to=ELSEWHERE, interface_in="docker0", interface_out="eth0") for port in range(20)]
    assert stages.process(lines, 1000.0) == []
    assert stages.events_by_kind["packet_logged"] == 20


def test_accepted_packets_are_no_sweep() -> None:
    """A firewall logs ten connections to a service of twelve containers, and accepts them."""
    stages = pipeline()
    to = [f"172.17.0.{number}" for number in range(2, 14)]
    feed(stages)
    lines = [tcp(CLIENT, 80, to=one, source_port=40_000, prefix="calico-packet: ") for one in to]
    assert stages.process(lines, 1000.1) == []
    assert feed(stages, 1000.2, opened=[flow(FlowOpened, port=80, to=one) for one in to]) == []
    stages.tick(1003.0)
    assert in_force(stages) == []
    assert "calico-packet: " in stages.evidence.notices(1003.0)[0]


@pytest.mark.parametrize(
    ("totals", "completed", "is_excused"),
    [
        (ListenTotals(overflows=5, drops=5), 0, True),
        (ListenTotals(drops=5), 1, True),
        (ListenTotals(cookies=5), 1, True),
        (ListenTotals(cookies=5), 0, False),
        (ListenTotals(), 1, False),
        (None, 1, False),
    ],
)
def test_a_source_is_not_at_fault_for_what_the_node_dropped(
    totals: ListenTotals | None, completed: int, is_excused: bool
) -> None:
    """A full accept queue excuses everybody, dropped attempts and cookies those that otherwise complete connections."""
    stages = pipeline()
    feed(stages, listen_totals=ListenTotals(), completed=handshakes(completed))
    feed(stages, 1001.0, listen_totals=totals)
    decisions = feed(stages, 1001.5, incomplete=[incomplete(port=80)] * 200)
    assert (decisions == []) is is_excused


def test_packets_in_the_name_of_a_client_are_in_doubt() -> None:
    """Fifteen forged probes are only observed; seventy-five shun for ten minutes, and `why` has the reason."""
    stages = pipeline()
    feed(stages, 990.0, completed=handshakes(21))
    (first,) = feed(stages, 1001.0, incomplete=refused(range(15)))
    assert first.verdict is Verdict.OBSERVE
    assert first.ban is not None
    assert first.ban.reason == (
        "15 distinct ports (anyone can have sent this in the name of a client with 21 recent connections)"
    )
    decisions: list[Decision] = []
    for turn in range(1, CORROBORATING_ALERTS):
        decisions = feed(stages, 1001.0 + turn, incomplete=refused(range(1000 + 15 * turn, 1015 + 15 * turn)))
    (last,) = decisions
    assert last.claim is None or last.claim.mode is Mode.ENFORCE
    assert last.alert is not None
    assert (last.alert.doubt, last.alert.longest_s) == ("", LONGEST_CLIENT_SHUN_S)


def test_proven_evidence_about_a_client_is_in_no_doubt() -> None:
    """A client that fails to log in too often."""
    stages = pipeline()
    feed(stages, 900.0, completed=handshakes(21))
    alert = stages.evidence.weigh(_alert(Strength.PROVEN), is_one_way=True)
    assert alert.doubt == ""
    assert stages.evidence.weigh(_alert(Strength.SPOOFABLE), is_one_way=False).doubt == ""
    assert stages.evidence.weigh(_alert(Strength.SPOOFABLE), is_one_way=True).doubt != ""


def test_a_scanner_that_connects_while_it_scans_is_no_client() -> None:
    """Open ports complete the handshakes of a connect scan."""
    stages = pipeline()
    (decision,) = feed(stages, completed=handshakes(5), incomplete=refused(range(1000, 1015)))
    assert decision.verdict is Verdict.BAN


def _alert(strength: Strength) -> Any:
    from monitor.model.alerts import Alert, Evidence

    source = parse_address(CLIENT)
    evidence = Evidence(15, 15, 600.0, 900.0, 1000.0, "distinct ports")
    return Alert("port_scan", 1000.0, source, host(source), True, strength, evidence)


@pytest.mark.parametrize("source", ["10.1.2.3", "192.168.1.9", "100.64.0.9", "fd00::9"])
@pytest.mark.parametrize("mode", list(Mode))
def test_internal_hosts_are_only_observed_on_evidence_that_anyone_can_forge(source: str, mode: Mode) -> None:
    """Unless the operator has it otherwise; failed logins ban them in any case."""
    stages = pipeline(Settings(bans=Bans(internal=Internal(mode=mode))))
    (scan,) = feed(stages, incomplete=refused(range(15), source))
    assert scan.verdict is (Verdict.OBSERVE if mode is Mode.OBSERVE else Verdict.BAN)
    assert scan.ban is not None
    assert scan.ban.reason.endswith("(internal network: bans.internal.mode is observe)") is (mode is Mode.OBSERVE)
    (login,) = stages.process([failure(source)] * 5, 1001.0)
    assert login.verdict is Verdict.BAN


def test_only_the_nodes_own_sockets_prove() -> None:
    """A container can answer packets that nobody sent: handshakes with it do not make evidence proven."""
    stages = pipeline()
    feed(stages, invalid_total=0)
    feed(stages, completed=handshakes(50, to=CONTAINER), invalid_total=0)
    assert len(stages.proofs) == 0
    feed(stages, completed=handshakes(50, port=30080, real_to=CONTAINER, real_port=80), invalid_total=0)
    assert len(stages.proofs) == 0
    feed(stages, completed=handshakes(50), invalid_total=0)
    assert len(stages.proofs) == 2


def test_ends_of_forwarded_flows_are_kept() -> None:
    """Counters of traffic see everything."""
    stages = pipeline()
    feed(stages, ending=[flow(FlowClosed, CONTAINER, to=ELSEWHERE, original_bytes=9)])
    samples = {(name, *labels): value for name, labels, value in stages.traffic.samples()}
    assert samples["nodewarden_flow_bytes_total", "forwarded"] == 9
