"""Batches reach the detectors they concern, and what comes of them is the policy's."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from monitor.bans.decision import Verdict
from monitor.control.protocol import ListBans, Status, Why
from monitor.daemon.pipeline.carry_over import CarryOver
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.wiring import build_detectors, build_guard, build_rules
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.egress import EgressSettings
from monitor.detectors.failures import FailuresDetector, FailuresSettings
from monitor.detectors.limits import Limits
from monitor.detectors.registry import REGISTRATIONS
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Mode
from monitor.model.events import KINDS, AuthFailure
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.answers import answers_of
from tests.support.events import failure, tcp
from tests.support.policy import small_table

NOW_S = 1010.0
REGISTERED = [one.name for one in REGISTRATIONS]
ALWAYS = [name for name in REGISTERED if name not in ("egress", "syn_rate", "udp_rate")]
"""Detectors that need no further configuration."""
FAILURES = {
    "sshd": FailuresSettings(filter="sshd", mode=Mode.OBSERVE),
    "web": FailuresSettings(filter="web", mode=Mode.OBSERVE, maxretry=2, bantime_s=60.0),
}


def settings(failures: dict[str, FailuresSettings]) -> Settings:
    """Return settings with these failures detectors, in which nothing bans."""
    detectors = Detectors(failures=failures)
    observing = {name: msgspec.structs.replace(getattr(detectors, name), mode=Mode.OBSERVE) for name in REGISTERED}
    return Settings(detectors=msgspec.structs.replace(detectors, **observing))


def pipeline(failures: dict[str, FailuresSettings]) -> Pipeline:
    """Return a pipeline that only observes: nothing reaches a kernel."""
    return Pipeline(settings(failures), (), small_table)


class Counting(FailuresDetector):
    """Notes the sizes of its batches."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Limits(600.0, 5, 1000))
        self.batches: list[int] = []

    def feed(self, events: Sequence[AuthFailure]) -> list[object]:  # type: ignore[override]
        """Note a batch."""
        self.batches.append(len(events))
        return []


def test_a_batch_costs_only_those_it_concerns() -> None:
    """Of a thousand detectors two are called, once each, with what is theirs; the names of others are passed over."""
    detectors = [Counting(f"d{number}") for number in range(1000)]
    batch = [failure("192.0.2.7", detector=name) for name in ("d3", "d700", "d3", "gone")]
    assert list(Dispatch(detectors).feed(batch)) == []
    assert {one.name: one.batches for one in detectors if one.batches} == {"d3": [2], "d700": [1]}


def test_packets_go_to_the_detectors_of_packets() -> None:
    """A scan fires port_scan, and failures detectors never see a packet."""
    counting = Counting("sshd")
    detectors = [*build_detectors(Settings()), counting]
    alerts = list(Dispatch(detectors).feed([tcp("192.0.2.7", port) for port in range(20, 40)]))
    assert [alert.detector for alert in alerts] == ["port_scan"]
    assert counting.batches == []
    assert list(Dispatch(detectors).feed([])) == []


def test_events_are_counted_by_kind() -> None:
    """All kinds are there from the start, and the total is their sum."""
    stages = pipeline(FAILURES)
    none = {"flow_incomplete": 0, "outbound_incomplete": 0, "drops_observed": 0, "sender_observed": 0}
    assert stages.events_by_kind == {"packet_logged": 0, "auth_failure": 0, **none}
    stages.process([tcp("192.0.2.7", 22)], NOW_S)
    stages.process([failure("192.0.2.7"), failure("192.0.2.8", detector="gone")], NOW_S)
    stages.process([], NOW_S)
    assert stages.events_by_kind == {"packet_logged": 1, "auth_failure": 2, **none}
    assert stages.events == 3
    assert set(stages.events_by_kind) == set(KINDS.values())


def test_failures_become_decisions() -> None:
    """Each detector has its own threshold, ban time and mode; the evidence is proven."""
    stages = pipeline(FAILURES)
    assert not stages.enforces
    batch = [failure("192.0.2.7", detector="web"), failure("192.0.2.7")] * 2
    (decision,) = stages.process(batch, NOW_S)
    assert (decision.detector, decision.verdict) == ("web", Verdict.OBSERVE)
    assert decision.ban is not None
    assert (decision.ban.strength, decision.ban.until_s - decision.ban.since_s) == (Strength.PROVEN, 60.0)
    assert decision.ban.reason == "2 failures in web (journal)"
    assert stages.metrics.alerts == {("web", Mode.OBSERVE, Strength.PROVEN): 1}
    assert pipeline({"sshd": FailuresSettings(filter="sshd")}).enforces


def test_a_reload_keeps_what_was_counted() -> None:
    """A detector whose thresholds stay keeps its window, one that is switched off is gone, a new one begins."""
    stages = pipeline(FAILURES)
    stages.process([failure("192.0.2.7")] * 4 + [failure("192.0.2.7", detector="web")], NOW_S)
    changed = {
        "sshd": msgspec.structs.replace(FAILURES["sshd"], bantime_s=50.0),
        "web": msgspec.structs.replace(FAILURES["web"], enabled=False),
        "mail": FailuresSettings(filter="mail", mode=Mode.OBSERVE),
    }
    stages.reconfigure(settings(changed), (), NOW_S)
    names = [*ALWAYS, "sshd", "mail"]
    assert [detector.name for detector in stages.detectors] == names
    assert list(stages.policy.rules.detectors) == names
    assert stages.process([failure("192.0.2.7", detector="web")] * 9, NOW_S) == []
    (decision,) = stages.process([failure("192.0.2.7")], NOW_S)
    assert decision.ban is not None
    assert decision.ban.until_s - decision.ban.since_s == 50.0


@pytest.mark.parametrize("changes", [{"maxretry": 6}, {"findtime_s": 60.0}, {"max_entries": 2000}])
def test_other_thresholds_make_another_window(changes: dict[str, float]) -> None:
    """A window is made for its thresholds."""
    old = build_detectors(Settings(), FAILURES)
    sections = {**FAILURES, "sshd": msgspec.structs.replace(FAILURES["sshd"], **changes)}
    new = build_detectors(Settings(), sections, old, CarryOver(NOW_S))
    assert [one.name for one, other in zip(old, new, strict=True) if one is not other] == ["sshd"]


@pytest.mark.parametrize(
    ("changes", "begins_anew"), [({"mode": Mode.OBSERVE, "bantime_s": 5.0}, False), ({"total": 9}, True)]
)
def test_a_detector_of_flows_goes_on_where_only_its_answer_changed(
    changes: dict[str, object], begins_anew: bool
) -> None:
    """Mode and ban time are the policy's; anything else makes another detector."""
    old = build_detectors(Settings())
    half_open = msgspec.structs.replace(Settings().detectors.half_open, **changes)
    new = build_detectors(Settings(detectors=Detectors(half_open=half_open)), {}, old, CarryOver(NOW_S))
    assert ["half_open" for one, other in zip(old, new, strict=True) if one is not other] == ["half_open"] * begins_anew


def test_egress_is_watched_where_something_is_approved() -> None:
    """With an empty list there is no such detector, and no rule for one."""
    watching = Settings(detectors=Detectors(egress=EgressSettings(approved=(parse_network("192.0.2.0/24"),))))
    for given, is_watched in ((Settings(), False), (watching, True)):
        assert ("egress" in [one.name for one in build_detectors(given)]) is is_watched
        assert ("egress" in build_rules(given).detectors) is is_watched


def test_rules_hold_every_detector() -> None:
    """Policy finds the mode and ban time of whatever detector fires."""
    rules = build_rules(Settings(), FAILURES)
    times_s = {name: policy.bantime_s for name, policy in rules.detectors.items()}
    assert list(times_s) == [*ALWAYS, "sshd", "web"]
    assert (times_s["port_scan"], times_s["half_open"], times_s["sshd"], times_s["web"]) == (3600.0, 600.0, 600.0, 60.0)


def test_what_fail2ban_ignores_is_protected() -> None:
    """The ignoreip of jails stand beside the rest of the allowlist, at the start and after a reload."""
    ignored = [AllowEntry(parse_network("192.0.2.0/24"), "ignoreip of jail sshd")]
    entry = build_guard(Settings(), (), (), ignored).protects(parse_network("192.0.2.7"))
    assert entry == ignored[0]
    filters = LogFilters(settings({}))
    filters.sections = dict(FAILURES)
    filters.allowlist = ignored
    stages = Pipeline(settings(FAILURES), (), small_table, log_filters=filters)
    for _ in range(2):
        (decision,) = stages.process([failure("192.0.2.7", detector="web")] * 2, NOW_S)
        assert (decision.verdict, decision.entry) == (Verdict.ALLOWLISTED, ignored[0])
        stages.reconfigure(settings(FAILURES), (), NOW_S, filters)


def test_commands_know_the_new_detectors(tmp_path: Path) -> None:
    """`status` lists them, `why` says how far an address is and why it was banned, `list` shows the ban."""
    stages = pipeline(FAILURES)
    answers = answers_of(stages, tmp_path)
    batch = [failure("192.0.2.7", user=user, time_s=NOW_S) for user in ("root", "admin", "")]
    stages.process(batch, NOW_S)
    status = {one["name"]: one for one in answers.look_up(Status()).result["detectors"]}
    assert (status["sshd"]["maxretry"], status["sshd"]["bantime_s"], status["sshd"]["window_entries"]) == (5, 600.0, 3)
    assert answers.look_up(Why("192.0.2.7")).result["counting"] == [{"detector": "sshd", "count": 3, "maxretry": 5}]
    stages.process(batch, NOW_S)
    (event,) = answers.look_up(Why("192.0.2.7")).result["history"]
    assert (event["counted"], event["sample"]) == ("failures in sshd (journal)", ["root", "admin"])
    listed = answers.look_up(ListBans(observed=True, detector="sshd")).result
    assert [ban["network"] for ban in listed["bans"]] == ["192.0.2.7"]
    assert stages.ledger.notes(parse_address("192.0.2.7"))
