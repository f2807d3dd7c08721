"""Logged packets and connections: a line whose packet opened a connection is no evidence, whichever came first."""

from typing import Any

import pytest

from monitor.daemon.pipeline import log_correlation
from monitor.daemon.pipeline.log_correlation import WAIT_S, LogCorrelation
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow, FlowBatch, FlowOpened
from monitor.model.protocols import PROTOCOL_ICMP
from tests.support.events import tcp
from tests.support.flows import CLIENT, NODE, flow

POD = "10.244.1.7"


def line(port: int = 22, *, to: str = NODE, prefix: str = "drop: ", **more: Any) -> PacketLogged:
    """Return a logged SYN of the client."""
    return tcp(CLIENT, port, to=to, prefix=prefix, source_port=40_000, **more)


def opened(port: int = 22, **more: Any) -> Flow:
    """Return the connection that such a packet opens."""
    return flow(FlowOpened, port=port, **more)


def correlation(now_s: float = 1000.0) -> LogCorrelation:
    """Return one with connection tracking alive."""
    known = LogCorrelation()
    known.note(FlowBatch(now_s))
    return known


def proven(prefix: str = "drop: ") -> LogCorrelation:
    """Return one that knows a prefix to mark dropped packets only."""
    known = correlation()
    known.admit([line(port, prefix=prefix) for port in range(1, 21)], 1000.0)
    known.note(FlowBatch(1000.5))
    assert len(known.release(1000.5)) == 20
    return known


def test_without_connection_tracking_lines_count_at_once() -> None:
    """There is nothing to compare them with."""
    known = LogCorrelation()
    assert known.admit([line()], 1000.0) == [line()]
    assert known.release(2000.0) == []


def test_lines_of_a_new_prefix_wait_and_count() -> None:
    """Once connection tracking was read and has no connection."""
    known = correlation()
    assert known.admit([line()], 1000.1) == []
    assert known.release(1000.1 + WAIT_S + 0.01) == []
    known.note(FlowBatch(1000.6))
    assert known.release(1000.7) == [line()]
    assert known.release(1001.0) == []


@pytest.mark.parametrize("is_line_first", [True, False])
@pytest.mark.parametrize(
    ("logged", "connection"),
    [
        (line(), opened()),
        (line(30080), opened(30080, real_to=POD, real_port=8080)),
        (line(8080, to=POD), opened(30080, real_to=POD, real_port=8080)),
    ],
)
def test_accepted_packets_never_count(logged: PacketLogged, connection: Flow, is_line_first: bool) -> None:
    """Before and after destination NAT, whichever source was read first; the prefix is known from then on."""
    known = correlation()
    known.admit([line(9)], 1000.0)  # lines come: connections are remembered
    if is_line_first:
        assert known.admit([logged], 1000.1) == []
        assert known.note(FlowBatch(1000.2, opened=[connection])) == []
    else:
        known.note(FlowBatch(1000.1, opened=[connection]))
        assert known.admit([logged], 1000.2) == []
    known.note(FlowBatch(1002.0))
    assert known.release(1002.5) == [line(9)]
    assert known.mixed(1002.5) == ["drop: "]
    assert known.accepted_total == 1


def test_a_prefix_that_marks_drops_only_counts_at_once() -> None:
    """After twenty lines without a connection; another prefix has to show it for itself."""
    known = proven()
    assert known.admit([line(80)], 1001.0) == [line(80)]
    assert known.admit([line(81, prefix="new: ")], 1001.0) == []


def test_what_counted_wrongly_is_taken_back() -> None:
    """The first accepted packet of a prefix that had only marked dropped ones: later lines wait again."""
    known = proven()
    known.admit([line(80)], 1001.0)
    assert known.note(FlowBatch(1001.1, opened=[opened(80)])) == [line(80)]
    assert known.admit([line(81)], 1001.2) == []


def test_a_mixed_prefix_needs_connection_tracking() -> None:
    """Without it nobody knows what its lines mean; they are lost, and counted."""
    known = proven()
    known.admit([line(80)], 1001.0)
    known.note(FlowBatch(1001.1, opened=[opened(80)]))
    assert known.admit([line(81)], 1100.0) == []
    known.note(FlowBatch(1100.0))
    assert known.release(1101.0) == []
    assert known.lost_total == 1
    assert known.admit([line(81)], 1001.2 + 7200.0) == [line(81)]


def test_a_gap_loses_what_waits() -> None:
    """The connection may be among the events that were lost."""
    known = correlation()
    known.admit([line()], 1000.1)
    known.note(FlowBatch(1000.2, has_gap=True))
    assert known.release(1002.0) == []
    assert known.lost_total == 1


def test_other_protocols_are_not_compared() -> None:
    """They have no ports."""
    ping = line()
    ping = PacketLogged(1000.0, "drop: ", "eth0", "", ping.source, ping.destination, PROTOCOL_ICMP)
    assert correlation().admit([ping], 1000.0) == [ping]


def test_everything_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines, prefixes and connections."""
    monkeypatch.setattr(log_correlation, "_MAX_LINES", 10)
    monkeypatch.setattr(log_correlation, "_MAX_PREFIXES", 10)
    monkeypatch.setattr(log_correlation, "_MAX_OPENED", 10)
    known = correlation()
    known.admit([line(port, prefix=f"{port}: ") for port in range(1, 31)], 1000.0)
    known.note(FlowBatch(1000.1, opened=[opened(port) for port in range(100, 130)]))
    assert (len(known._waiting), len(known.prefixes), len(known._opened)) == (10, 10, 10)
    assert known.lost_total == 20


def restarted(known: LogCorrelation, now_s: float = 1001.0) -> LogCorrelation:
    """Return one of the next run, with connection tracking alive."""
    after = correlation(now_s)
    after.resume(known.export(4096), now_s)
    return after


def test_after_a_restart_known_prefixes_count_at_once() -> None:
    """Those of dropped packets; one that had too few lines, or is new, has to show it for itself."""
    known = proven()
    known.admit([line(1, prefix="rare: ")], 1000.6)
    after = restarted(known)
    assert after.admit([line(80)], 1001.1) == [line(80)]
    assert after.admit([line(80, prefix="rare: ")], 1001.1) == []
    assert after.admit([line(80, prefix="new: ")], 1001.1) == []


def test_after_a_restart_a_known_prefix_can_turn_out_to_mark_accepted_packets() -> None:
    """The firewall may have changed meanwhile: what counted is taken back, and the next lines wait."""
    after = restarted(proven())
    assert after.admit([line(80)], 1001.1) == [line(80)]
    assert after.note(FlowBatch(1001.2, opened=[opened(80)])) == [line(80)]
    assert after.admit([line(81)], 1001.3) == []


def test_after_a_restart_a_mixed_prefix_is_mixed() -> None:
    """For the rest of its hour, whatever the clock does; without connection tracking its lines do not count."""
    known = proven()
    known.admit([line(80)], 1001.0)
    known.note(FlowBatch(1001.1, opened=[opened(80)]))
    after = LogCorrelation()
    after.resume(known.export(4096), 1010.0)
    assert after.mixed(1010.0) == ["drop: "]
    assert after.admit([line(81)], 1010.0) == []
    assert restarted(known, 500.0).mixed(500.0) == ["drop: "]
    assert restarted(known, 5000.0).mixed(5000.0) == []


def test_what_is_saved_of_prefixes_changes_seldom_and_is_bounded() -> None:
    """Each line of a known prefix would otherwise be a write to disk; no saved row is trusted to be small."""
    known = proven()
    known.admit([line(1, prefix="x" * 300), *(line(port, prefix="x" * 300) for port in range(2, 40))], 1000.6)
    known.note(FlowBatch(1001.0))
    known.release(1001.0)
    before = known.export(4096)
    assert [key for key, _, _ in before] == [b"drop: "]
    known.admit([line(port) for port in range(100, 200)], 1001.1)
    known.note(FlowBatch(1004.0))
    known.release(1004.0)
    assert known.export(4096) == before
    assert known.export(0) == []
    after = correlation()
    after.resume([(b"y" * 300, bytes(8), 0.0), (b"\xff: ", b"\xff" * 8, 1e9), *before], 1005.0)
    assert set(after.prefixes) == {"\ufffd: ", "drop: "}
    assert after.mixed(1005.0) == ["\ufffd: "]
