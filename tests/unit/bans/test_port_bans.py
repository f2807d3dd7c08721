"""Bans of some ports only: what they are called by, what covers them, and what they never become."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans import draft
from monitor.bans.decision import Verdict
from monitor.bans.guard import Guard
from monitor.bans.ladder import Step
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.config.port_names import read_ports
from monitor.detectors.port_scan import PortScanSettings
from monitor.enforcers.nftables.port_bans import keys_of
from monitor.model.addresses import Network, host, network_of, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, Mode, ban_key, read_ban_key
from monitor.model.errors import MalformedRecord
from monitor.model.ports import at, covers, pack, show, unpack
from monitor.model.protocols import PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP
from monitor.state import rows
from tests.support.policy import decide
from tests.unit.config.support import faults_of, write

SSH, WEB = pack([(PROTOCOL_TCP, 22)]), pack([(PROTOCOL_TCP, 80), (PROTOCOL_TCP, 443)])
SOURCE = parse_address("192.0.2.7")
PORTS = st.lists(
    st.tuples(st.sampled_from([PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP]), st.integers(1, 65_535)), max_size=64
).map(pack)
NETWORKS = st.builds(
    lambda address, length, ports: at(network_of(address, min(length, 8 * len(address))), ports),
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(0, 128),
    PORTS,
)


def alert(
    detector: str, *, source: bytes = SOURCE, time_s: float = 1000.0, strength: Strength = Strength.PROVEN
) -> Alert:
    """Return an alert about an address."""
    evidence = Evidence(5, 5, 600.0, 990.0, 1000.0, "failures")
    return Alert(detector, time_s, source, host(source), True, strength, evidence)


def policy_of(**more: object) -> Policy:
    """Return a policy with detectors that ban one port, two others, and all."""
    detectors = {
        "ssh": DetectorPolicy(Mode.ENFORCE, 600.0, ports=SSH),
        "web": DetectorPolicy(Mode.ENFORCE, 1200.0, ports=WEB),
        "both": DetectorPolicy(Mode.ENFORCE, 600.0, ports=pack([*unpack(SSH), *unpack(WEB)])),
        "all": DetectorPolicy(Mode.ENFORCE, 600.0),
    }
    return Policy(Guard([]), Ledger(max_bans=100), Rules(detectors, **more))  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NETWORKS, st.sampled_from(Strength)), max_size=8))
def test_every_ban_has_a_key_of_its_own(places: list[tuple[Network, Strength]]) -> None:
    """Keys are read back, and no two bans share one; nor do they share rows of the store."""
    keys = {ban_key(*place): place for place in places}
    assert len(keys) == len(set(places))
    for key, place in keys.items():
        assert read_ban_key(key) == place
        ban = Ban(*place, 0.0, 1.0, "test", "test")
        assert rows.read_ban(rows.ban_row(ban)) == ban


@pytest.mark.parametrize("ports", [b"\6", b"\6\0\0", b"\1\0\26", WEB[3:] + WEB[:3], "tcp/22", 22])
def test_damaged_ports_of_a_row_are_malformed(ports: object) -> None:
    """No row bans more than was written, whatever is in its place."""
    row = list(rows.ban_row(Ban(at(host(SOURCE), SSH), Strength.PROVEN, 0.0, 1.0, "test", "test")))
    row[-1] = ports
    with pytest.raises(MalformedRecord):
        rows.read_ban(tuple(row))


def test_a_ban_of_all_ports_covers_one_of_some_and_never_the_reverse() -> None:
    """Detectors with other ports have bans of their own, and a full ban is added to them."""
    some = policy_of()
    (web,) = decide(some, alert("web"), 1000.0)
    (ssh,) = decide(some, alert("ssh"), 1000.0)
    (full,) = decide(some, alert("all"), 1000.0)
    assert [one.verdict for one in (web, ssh, full)] == [Verdict.BAN] * 3
    assert {ban.network.ports for ban in some.ledger.covering(host(SOURCE))} == {b"", SSH, WEB}
    (again,) = decide(some, alert("ssh", time_s=1000.0), 1000.0)
    assert again.verdict is Verdict.COVERED
    (both,) = decide(policy_of(), alert("both"), 1000.0)
    assert both.ban is not None
    assert covers(both.ban.network.ports, SSH)
    assert not covers(SSH, both.ban.network.ports)
    assert not covers(SSH, b"")


def test_a_narrower_ban_is_covered_by_a_wider_one_in_one_batch() -> None:
    """Within a batch as well, and for the address inside its prefix."""
    some = policy_of()
    whole = some.draft(1000.0)
    assert some.propose(whole, alert("both")).verdict is Verdict.BAN
    assert some.propose(whole, alert("ssh")).verdict is Verdict.COVERED
    assert some.propose(whole, alert("all")).verdict is Verdict.BAN


def test_what_follows_is_limited_to_the_same_ports() -> None:
    """A prefix full of offenders and a repeat offender are banned from the ports of the ban that it follows from."""
    some = policy_of(ladder=(Step(32, 24, 3),), recidive_maxretry=2, recidive_bantime_s=9000.0)
    decisions = [
        decision
        for number in range(3)
        for decision in decide(some, alert("ssh", source=bytes((192, 0, 2, number + 1))), 1000.0)
    ]
    assert {decision.detector for decision in decisions} == {"ssh", "prefix"}
    assert {decision.network.ports for decision in decisions} == {SSH}
    assert parse_network("192.0.2.0/24") in {decision.network.whole for decision in decisions}
    assert all(decision.offence.network.ports == b"" for decision in decisions if decision.offence)


def test_a_length_that_no_set_has_is_observed() -> None:
    """A line of a log may name any network: what cannot be banned by port is not banned altogether."""
    some = policy_of()
    for detector, verdict in (("ssh", Verdict.OBSERVE), ("all", Verdict.BAN)):
        wide = msgspec.structs.replace(alert(detector), network=network_of(SOURCE, 20), is_alone=False)
        (decision,) = decide(some, wide, 1000.0)
        assert decision.verdict is verdict


def test_sets_of_ports_have_bounds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is refused, not widened; forged evidence takes no room from proof; what ends gives room."""
    monkeypatch.setattr(draft, "MAX_PORT_ELEMENTS", 4)
    some = policy_of(escalate_spoofable=True)
    forged = alert("web", strength=Strength.SPOOFABLE)
    assert [one.verdict for one in decide(some, forged, 1000.0)] == [Verdict.BAN]
    sources = [bytes((192, 0, 2, number)) for number in (1, 2, 3)]
    found = [decide(some, alert("web", source=source), 1000.0)[0].verdict for source in sources]
    assert found == [Verdict.BAN, Verdict.BAN, Verdict.FULL]
    some.ledger.remove(at(host(sources[0]), WEB), Strength.PROVEN)
    assert decide(some, alert("web", source=sources[2]), 1000.0)[0].verdict is Verdict.BAN
    assert some.ledger.of_ports.elements == {Strength.PROVEN: 4, Strength.SPOOFABLE: 2}


def test_the_ledger_knows_all_bans_of_a_network() -> None:
    """`unban` ends what is of exactly this network, whatever ports; expiry and removal leave nothing behind."""
    ledger = Ledger(max_bans=10)
    for ports, until_s in ((b"", 100.0), (SSH, 200.0), (WEB, 300.0)):
        ledger.put(Ban(at(host(SOURCE), ports), Strength.PROVEN, 0.0, until_s, "test", "test"))
    ledger.put(Ban(at(network_of(SOURCE, 24), SSH), Strength.SPOOFABLE, 0.0, 400.0, "test", "test"))
    assert len(ledger.places(host(SOURCE))) == 3
    assert len(ledger.covering(host(SOURCE))) == 4
    ledger.expire(150.0)
    assert {network.ports for network, _ in ledger.places(host(SOURCE))} == {SSH, WEB}
    for place in ledger.places(host(SOURCE)):
        ledger.remove(*place)
    assert [ban.network.whole for ban in ledger.covering(host(SOURCE))] == [network_of(SOURCE, 24)]
    ledger.expire(500.0)
    assert ledger.covering(host(SOURCE)) == []
    assert len(ledger.of_ports) == 0


@given(NETWORKS.filter(lambda network: bool(network.ports)))
@settings(max_examples=60, deadline=None)
def test_elements_are_one_for_each_port(network: Network) -> None:
    """Of one set, distinct, and none where no set takes prefixes of this length."""
    keys = keys_of(network, Strength.PROVEN)
    fits = network.prefix_length in ((24, 32) if len(network.address) == 4 else (48, 56, 64, 128))
    assert len(set(keys)) == len(show(network.ports)) * fits
    assert len({name for name, _ in keys}) == fits
    assert all(len(key) == len(network.address) + 8 for _, key in keys)


def test_ports_as_people_write_them(tmp_path: Path) -> None:
    """Numbers, ranges and services, with and without a protocol; anything else is a fault at its place."""
    assert show(pack(read_ports("tcp/22"))) == ["tcp/22"]
    assert show(pack(read_ports("53"))) == ["tcp/53", "udp/53"]
    assert show(pack(read_ports("udp/5060-5061"))) == ["udp/5060", "udp/5061"]
    assert show(pack(read_ports("tcp/ssh"))) == ["tcp/22"]
    section = PortScanSettings(ban_ports=("ssh", "tcp/22", "22"))
    assert show(section.packed_ports) == ["tcp/22", "udp/22"]
    for wrong in ("", "0", "tcp/0", "70000", "5-4", "icmp/1", "tcp/", "no-such-service", "22,80", "tcp/22/udp", "-1"):
        with pytest.raises(ValueError, match=r"port|service"):
            read_ports(wrong)
    path = write(tmp_path, "detectors: {port_scan: {ports: [1-65]}, egress: {ports: [22]}, udp_rate: {ports: [x]}}\n")
    assert [fault.partition(": ")[2] for fault in faults_of(path)] == [
        "detectors.port_scan.ports: 130 ports: at most 64; leave it empty for all",
        "detectors.egress.ports: never used: its bans are about destinations, whatever their port",
        "detectors.udp_rate.ports[0]: 'x' is no service of /etc/services, nor a common one",
    ]
    assert msgspec.structs.asdict(section)["ban_ports"] == ("ssh", "tcp/22", "22")
