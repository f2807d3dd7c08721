"""Bans that the kernel refused for a while are in force once it takes them, without another event of the source."""

from collections.abc import Sequence
from itertools import pairwise
from unittest.mock import Mock

import msgspec
import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.bans.ledger import Ledger
from monitor.control.protocol import Unban
from monitor.daemon.control.orders import Orders
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.refused_alerts import LONGEST_WAIT_S, RefusedAlerts
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.protocol import Failure, FailureCause
from monitor.model.addresses import Network, host, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, Mode
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.ban_core import DETECTOR, alert_on
from tests.support.events import tcp
from tests.support.policy import Willing

NOW_S = 1000.0
SOURCE = "198.51.100.7"


class Unwilling(Willing):
    """A table that refuses every ban as long as `cause` is given."""

    cause: FailureCause | None = None

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Refuse bans, or take them."""
        return [Failure(ban.network, ban.strength, self.cause, "refused") for ban in bans if self.cause]


def unwilling_pipeline() -> tuple[Pipeline, Unwilling]:
    """Return a pipeline with a scan detector that enforces, and its table."""
    tables: list[Unwilling] = []

    def make(ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
        tables.append(Unwilling(NftablesEnforcer(max_bans=16), ledger, allowlist))
        return Enforcement(tables[0])

    default = Detectors().port_scan
    scans = msgspec.structs.replace(default, mode=Mode.ENFORCE, maxretry=5)
    stages = Pipeline(Settings(detectors=Detectors(port_scan=scans)), (), make)
    return stages, tables[0]


def scan(stages: Pipeline, now_s: float = NOW_S) -> list[Decision]:
    """Let a source scan, and have what waits for connection tracking released."""
    events = [tcp(SOURCE, port, time_s=now_s) for port in range(1000, 1010)]
    return stages.process(events, now_s) + stages.release(now_s + 10)


def in_force(stages: Pipeline) -> list[str]:
    """Return what is banned."""
    return [str(ban.network) for ban in stages.ledger.bans() if ban.mode is Mode.ENFORCE]


@pytest.mark.parametrize("cause", FailureCause)
def test_the_ban_comes_when_the_kernel_lets_it(cause: FailureCause) -> None:
    """Whatever the reason: no further event is needed, it counts once, and nothing is left over."""
    stages, table = unwilling_pipeline()
    table.cause = cause
    verdicts = {one.verdict for one in scan(stages)}
    assert Verdict.REFUSED in verdicts
    assert in_force(stages) == []
    for second in range(10, 15):
        stages.tick(NOW_S + second)
    assert in_force(stages) == []
    table.cause = None
    for second in range(15, 40):
        stages.tick(NOW_S + second)
    assert in_force(stages) == [SOURCE]
    assert stages.metrics.decisions["port_scan", Verdict.BAN] == 1
    assert len(stages.refused) == 0


@pytest.mark.parametrize("why", ["allowlisted", "no evidence", "expired"])
def test_a_ban_that_is_no_longer_due_does_not_come(why: str) -> None:
    """What has changed while the kernel refused is taken into account."""
    stages, table = unwilling_pipeline()
    table.cause = FailureCause.OTHER
    scan(stages)
    now_s = NOW_S + 30
    if why == "allowlisted":
        stages.allow([AllowEntry(parse_network(SOURCE), "an operator")], now_s)
    elif why == "no evidence":
        stages._acquit("port_scan", [parse_network(SOURCE)], now_s)
    else:
        now_s += 10 * 86400
    table.cause = None
    for second in range(200):
        stages.tick(now_s + second)
    assert in_force(stages) == []
    assert len(stages.refused) == 0


@pytest.mark.parametrize("order", [Unban([SOURCE]), Unban(everything=True)])
def test_what_an_operator_unbans_does_not_come_back(order: Unban) -> None:
    """An order to end a ban holds for one that the kernel refused so far; the answer says so where it is named."""
    stages, table = unwilling_pipeline()
    table.cause = FailureCause.OTHER
    scan(stages)
    answers = [answer for part in Orders(stages, Mock()).slices(order) for answer in part()]
    assert [answer["done"] for answer in answers] == [True] * len(order.networks)
    table.cause = None
    for second in range(30, 200):
        stages.tick(NOW_S + second)
    assert in_force(stages) == []


def _refused(number: int, strength: Strength = Strength.PROVEN, verdict: Verdict = Verdict.REFUSED) -> Decision:
    alert = alert_on(host(parse_address(f"198.51.{number >> 8}.{number & 255}")), NOW_S)
    alert = msgspec.structs.replace(alert, strength=strength)
    return Decision(verdict, alert.network, alert.detector, alert=alert)


def test_waits_double() -> None:
    """A kernel that keeps refusing is asked a few times, then once a minute; a clock set back does not matter."""
    table = RefusedAlerts()
    table.note([_refused(1)], 0.0)
    tries: list[int] = []
    for second in range(1, 600):
        if due := table.due(float(second), [DETECTOR]):
            tries.append(second)
            table.note([_refused(1)], float(second))
            assert len(due) == 1
    waits = [later - earlier for earlier, later in pairwise([0, *tries])]
    assert waits[:6] == [1, 2, 4, 8, 16, 32]
    assert set(waits[6:]) == {LONGEST_WAIT_S}
    assert table.due(-1e6, [DETECTOR])
    assert table.due(-1e6, []) == []  # the detector is gone
    assert len(table) == 0


def test_proven_evidence_takes_the_room_of_spoofable_evidence() -> None:
    """The table is bounded, and forged sources keep out nobody who is proven."""
    table = RefusedAlerts(limit=10)
    table.note([_refused(number, Strength.SPOOFABLE) for number in range(50)], 0.0)
    assert len(table) == 10
    table.note([_refused(100 + number) for number in range(10)], 0.0)
    table.note([_refused(200 + number, Strength.SPOOFABLE) for number in range(10)], 0.0)
    assert {one.strength for one in table.due(5.0, [DETECTOR])} == {Strength.PROVEN}
    assert table.omitted_total == 60
    table.note([_refused(100 + number, verdict=Verdict.BAN) for number in range(10)], 6.0)
    assert len(table) == 0


def test_a_ban_of_a_source_whose_prefix_was_spared_ends_with_its_evidence() -> None:
    """Where an address next to it is allowed, the source alone is banned, and that is what is taken back."""
    stages, _ = unwilling_pipeline()
    stages.allow([AllowEntry(parse_network("2001:db8::99"), "an operator")], NOW_S)
    events = [tcp("2001:db8::7", port, time_s=NOW_S) for port in range(1000, 1010)]
    stages.process(events, NOW_S)
    stages.release(NOW_S + 10)
    assert in_force(stages) == ["2001:db8::7"]
    stages._take_back(events, NOW_S + 20)
    assert in_force(stages) == []


def test_a_full_table_is_a_problem_and_then_a_note() -> None:
    """What was given up is never silent: a problem while there is no room, a note from then on."""
    table = RefusedAlerts(limit=2)
    table.note([_refused(1), _refused(2, Strength.SPOOFABLE)], 0.0)
    assert "2 bans that the kernel refused" in table.problem
    assert "0 were given up" in table.problem
    table.note([_refused(3, Strength.SPOOFABLE), _refused(4)], 1.0)
    assert ("2 were given up" in table.problem, table.notice) == (True, "")
    table.note([_refused(4, verdict=Verdict.BAN)], 2.0)
    assert table.problem == ""
    assert table.notice.startswith("2 bans that the kernel refused were given up")
