"""What handshakes prove: only what was done by them, and only where guesses cannot have brought them about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detectors import proofs as module
from monitor.detectors.connection_rate import ConnectionRateDetector
from monitor.detectors.half_open import HalfOpenDetector
from monitor.detectors.limits import Limits
from monitor.detectors.origins import origin_alert
from monitor.detectors.port_scan import PortScanDetector
from monitor.detectors.proofs import Proofs, service_proof
from monitor.model.addresses import origin_key, parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, ListenTotals
from monitor.model.protocols import PROTOCOL_SCTP, PROTOCOL_TCP
from tests.support.flows import CLIENT, handshakes, incomplete

LIMITS = Limits(10.0, 100)
GUESSES = 65_000


def settle(proofs: Proofs, invalid_total: int, now_s: float) -> None:
    """Settle while TCP accepts more connections than anybody claims."""
    proofs.settle(invalid_total, ListenTotals(accepted=round(1e6 * now_s)), now_s)


def begun(ipv6_prefix: int = 64) -> Proofs:
    """Return proofs that know the table's total, which was 7 at 1000 s."""
    proofs = Proofs(ipv6_prefix)
    settle(proofs, 7, 1000.0)
    return proofs


def settled(flows: list[Flow], guesses: int = 0) -> Proofs:
    """Return what knows these handshakes, and so many guesses beside them."""
    proofs = begun()
    proofs.note(flows)
    settle(proofs, 7 + guesses, 1001.0)
    return proofs


def strength(proofs: Proofs, source: str = CLIENT, port: int | None = None) -> Strength:
    """Return what an alert about connections of a source proves, or about those with one service."""
    address = parse_address(source)
    key = origin_key(address, proofs.ipv6_prefix // 8)
    key = key if port is None else service_proof(key, PROTOCOL_TCP, port)
    return proofs.strength(origin_alert("some", LIMITS, address, 1000.0, 1, "connections", handshakes=key))


@pytest.mark.parametrize(("count", "told"), [(0, "spoofable"), (3, "spoofable"), (4, "proven"), (1000, "proven")])
def test_four_handshakes_prove(count: int, told: str) -> None:
    """Fewer may have been guessed; it holds for the source and for the service that they were with."""
    proofs = settled(handshakes(count))
    assert (strength(proofs), strength(proofs, port=22)) == (told, told)


def test_only_that_service_and_that_source() -> None:
    """Two handshakes each with two services prove the source, neither service, and nothing of a neighbour."""
    proofs = settled([*handshakes(2, port=22), *handshakes(2, port=80)])
    assert strength(proofs) is Strength.PROVEN
    assert [strength(proofs, port=port) for port in (22, 80)] == [Strength.SPOOFABLE] * 2
    assert strength(proofs, "198.51.100.8") is Strength.SPOOFABLE


def test_what_is_not_settled_proves_nothing() -> None:
    """Until the guesses beside them are known, handshakes do not count; before the first total they never will."""
    proofs = Proofs()
    proofs.note(handshakes(1000))
    settle(proofs, 7, 1000.0)
    assert (strength(proofs), proofs.evicted_total) == (Strength.SPOOFABLE, 2)
    proofs.note(handshakes(4))
    assert strength(proofs) is Strength.SPOOFABLE
    settle(proofs, 7, 1001.0)
    assert strength(proofs) is Strength.PROVEN


@pytest.mark.parametrize(("guesses", "needed"), [(0, 4), (1, 4), (16_250, 5), (GUESSES, 8), (10 * GUESSES, 44)])
def test_guesses_raise_the_need(guesses: int, needed: int) -> None:
    """Four more handshakes for each 65,000 invalid packets: one fewer is not enough."""
    assert settled([], guesses).needed == needed
    assert strength(settled(handshakes(needed), guesses)) is Strength.PROVEN
    assert strength(settled(handshakes(needed - 1), guesses)) is Strength.SPOOFABLE


def test_guesses_take_back_what_was_proven() -> None:
    """Handshakes that were enough are no longer so once many guesses came, for as long as these are remembered."""
    proofs = settled(handshakes(7))
    settle(proofs, 7 + GUESSES, 1002.0)
    assert strength(proofs) is Strength.SPOOFABLE


def test_the_total_wraps() -> None:
    """It has 32 bits: from just below its end to just above zero it is a small step."""
    proofs = Proofs()
    settle(proofs, (1 << 32) - GUESSES, 1000.0)
    settle(proofs, GUESSES, 1001.0)
    assert proofs.needed == 4 + 2 * 4


@pytest.mark.parametrize(("accepted", "lag", "needed"), [(10, 0, 4), (0, 10, 4), (0, 0, 44), (9, 0, 8), (7, 2, 8)])
def test_handshakes_that_tcp_did_not_accept_are_forged(accepted: int, lag: int, needed: int) -> None:
    """A pod answers in the name of the node: each handshake more than TCP accepted raises the need."""
    proofs = Proofs()
    proofs.settle(7, ListenTotals(accepted=100), 1000.0)
    proofs.settle(7, ListenTotals(accepted=100 + lag), 1001.0)
    proofs.note(handshakes(10))
    proofs.settle(7, ListenTotals(accepted=100 + lag + accepted), 1002.0)
    assert proofs.needed == needed
    assert (strength(proofs) is Strength.PROVEN) is (needed <= 10)


def test_without_the_total_of_tcp_nothing_is_proven() -> None:
    """Nothing that was noted meanwhile will count later."""
    proofs = begun()
    proofs.note(handshakes(10))
    proofs.settle(7, None, 1001.0)
    settle(proofs, 7, 1002.0)
    assert strength(proofs) is Strength.SPOOFABLE
    assert proofs.evicted_total == 2


def test_handshakes_that_complete_late_hide_no_forged_ones() -> None:
    """TCP accepts ten connections whose last packet comes late, which are no cover for ten forged ones."""
    proofs = begun()
    proofs.settle(7, ListenTotals(accepted=10**9), 1001.0)
    proofs.note(handshakes(10), late=handshakes(10, "203.0.113.9"))
    proofs.settle(7, ListenTotals(accepted=10**9 + 10), 1002.0)
    assert strength(proofs) is Strength.SPOOFABLE


@pytest.mark.parametrize("totals", [ListenTotals(overflows=1, accepted=10**10), ListenTotals(drops=1, accepted=10**10)])
def test_while_listeners_drop_nothing_is_proven_and_nobody_is_kept_from_it(totals: ListenTotals) -> None:
    """Connection tracking took for connections what TCP dropped."""
    proofs = begun()
    proofs.note(handshakes(10))
    proofs.settle(7, totals, 1001.0)
    assert strength(proofs) is Strength.SPOOFABLE
    assert proofs.needed == 4


def test_after_a_gap_nothing_is_proven() -> None:
    """Handshakes that were lost would hide forged ones."""
    proofs = begun()
    proofs.note(handshakes(10))
    proofs.lose()
    settle(proofs, 7, 1001.0)
    settle(proofs, 7, 1002.0)
    assert strength(proofs) is Strength.SPOOFABLE


def test_only_tcp_proves() -> None:
    """Nothing checks the handshakes of SCTP."""
    assert strength(settled(handshakes(1000, protocol=PROTOCOL_SCTP))) is Strength.SPOOFABLE


def test_other_namespaces_never_count() -> None:
    """Their guesses are not in our table's total: a thousand handshakes there prove nothing here."""
    assert strength(settled(handshakes(1000, namespace=3))) is Strength.SPOOFABLE
    assert len(settled(handshakes(1000, namespace=3))) == 0


@given(st.integers(0, 299))
def test_handshakes_are_forgotten_after_five_to_ten_minutes(offset_s: int) -> None:
    """Whenever they came between two generations, and the guesses with them."""
    proofs = begun()
    for time_s in range(1001, 1000 + 900 + 1):
        if time_s == 1001 + offset_s:
            proofs.note(handshakes(8))
        settle(proofs, 7 + GUESSES * (time_s > 1000 + offset_s), float(time_s))
        age_s = time_s - (1001 + offset_s)
        if 0 <= age_s <= 299:
            assert (strength(proofs), proofs.needed) == (Strength.PROVEN, 8)
        elif age_s >= 600:
            assert (strength(proofs), proofs.needed) == (Strength.SPOOFABLE, 4)
            assert len(proofs) == 0


def test_a_clock_set_back_proves_no_longer_than_otherwise() -> None:
    """A day back a new generation begins: what is known stays for that one, and is not kept for a day."""
    proofs = settled(handshakes(4))
    settle(proofs, 7, -85_400.0)
    assert strength(proofs) is Strength.PROVEN
    settle(proofs, 7, -85_100.0)
    assert strength(proofs) is Strength.SPOOFABLE


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd pushes out what is older, generation by generation, and that is counted; what is new proves still."""
    monkeypatch.setattr(module, "_MAX_ENTRIES", 64)
    proofs, most = begun(), 0
    for number in range(100):
        crowd = [one for host in range(20) for one in handshakes(1, f"203.0.{number}.{host}")]
        proofs.note([*crowd, *handshakes(4)])
        settle(proofs, 7, 1001.0 + number / 1000)
        most = max(most, len(proofs))
        assert strength(proofs) is Strength.PROVEN
    assert 64 < most <= 2 * 64
    assert proofs.evicted_total > 90 * 42


def test_without_settling_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the total cannot be read, what was noted is forgotten at the bound, and that is counted."""
    monkeypatch.setattr(module, "_MAX_ENTRIES", 64)
    proofs = begun()
    for number in range(100):
        proofs.note(handshakes(1, f"203.0.113.{number}"))
        assert len(proofs._fresh) <= 64
    assert proofs.evicted_total == 198


@pytest.mark.parametrize("ipv6_prefix", [48, 56, 64])
def test_an_ipv6_prefix_is_one_origin(ipv6_prefix: int) -> None:
    """Four addresses of one prefix prove it together, and nothing of the next one."""
    proofs = begun(ipv6_prefix)
    proofs.note([one for host in range(4) for one in handshakes(1, f"2001:db8::{host}")])
    settle(proofs, 7, 1001.0)
    assert strength(proofs, "2001:db8::99") is Strength.PROVEN
    assert strength(proofs, "2001:db8:1::1") is Strength.SPOOFABLE


@pytest.mark.parametrize("ipv6_prefix", [48, 56, 64, 128])
def test_families_are_told_apart(ipv6_prefix: int) -> None:
    """Handshakes of IPv6 never prove an IPv4 address of the same leading bytes, nor a service of its."""
    proofs = begun(ipv6_prefix)
    # 32.1.13.184 begins as 2001:db8:: does; 06 and 0016 behind it are tcp/22.
    proofs.note([*handshakes(1000, "2001:db8::1"), *handshakes(1000, "2001:db8:600:1600::1")])
    proofs.note(handshakes(1000, "2001:db8:0:600:1600::1"))
    settle(proofs, 7, 1001.0)
    assert strength(proofs, "2001:db8:600:1600::1") is Strength.PROVEN
    assert strength(proofs, "32.1.13.184") is Strength.SPOOFABLE
    assert strength(proofs, "32.1.13.184", port=22) is Strength.SPOOFABLE


def test_what_a_detector_knows_better_stays() -> None:
    """A line in a log proves by itself, a destination is none who could prove anything, and no key is no proof."""
    proofs, key = settled(handshakes(4)), parse_address(CLIENT)
    alert = origin_alert("some", LIMITS, key, 1.0, 1, "probes")
    assert proofs.strength(alert) is Strength.SPOOFABLE
    for known in (Strength.PROVEN, Strength.DESTINATION):
        for handshakes_key in (None, key, b"unknown"):
            assert proofs.strength(replace(alert, strength=known, handshakes=handshakes_key)) is known


def test_probes_in_the_name_of_a_client_stay_spoofable() -> None:
    """A thousand genuine handshakes do not prove that their source sent the scan and the half-open connections, too."""
    proofs = settled(handshakes(1000))
    forged = [incomplete(port=port) for port in range(100)]
    scans = PortScanDetector(Limits(600.0, 15, 1000)).feed(forged)
    floods = list(HalfOpenDetector(LIMITS, 10_000).feed([FlowBatch(1003.0, incomplete=forged)]))
    assert (len(scans), len(floods)) == (6, 1)
    for alert in (*scans, *floods):
        assert isinstance(alert, Alert)
        assert (alert.source, proofs.strength(alert)) == (parse_address(CLIENT), Strength.SPOOFABLE)


@pytest.mark.parametrize("source", [CLIENT, "2001:db8::7"])
def test_real_connections_are_proven(source: str) -> None:
    """Who completes too many connections has proven it by these, also while somebody guesses."""
    flows = handshakes(100, source)
    (alert,) = ConnectionRateDetector(LIMITS).feed([FlowBatch(1001.0, completed=flows)])
    assert alert.strength is Strength.SPOOFABLE
    assert settled(flows, 10 * GUESSES).strength(alert) is Strength.PROVEN
    assert settled(flows, 30 * GUESSES).strength(alert) is Strength.SPOOFABLE
