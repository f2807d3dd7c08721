"""Each alert: that it fires when it should and not when it nearly should, what it says, and where that leads."""

import re
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.rules import support
from tests.unit.rules.support import series

ROOT = Path(__file__).parents[3]
ALERTS = {rule["alert"]: rule for rule in support.rules() if "alert" in rule}
NODE = {"cluster": "default", "job": "nodewarden", "instance": "node1:9843"}
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
_EDGE = r"\{\{ with printf \"instance:nodewarden_signal:(\w+)\{.*?\{\{ end \}\}"
_ONE_MORE = "0x9 1x30"
"""A counter that stands at 0 for ten minutes and then at 1."""


class Case(msgspec.Struct, frozen=True):
    """Series that make an alert fire by minute `at_min`, its labels (empty: none) and value; series that must not."""

    name: str
    fires: dict[str, str]
    labels: dict[str, str]
    value: str
    not_quite: dict[str, str]
    edges: dict[str, str] = {}
    """What the annotations say of the band, which they ask for."""
    at_min: int = 14


def _counter(name: str, metric: str, labels: dict[str, str], *, more: str = "", other: str = "") -> Case:
    """Return the case of an alert on a counter that grew by one; with the labels `other` that is no alert."""
    given = ",".join(f'{label}="{value}"' for label, value in labels.items())
    given = ",".join(filter(None, (given, more)))
    not_quite = {series(metric, given): "7x40"} | ({series(metric, other): _ONE_MORE} if other else {})
    return Case(name, {series(metric, given): _ONE_MORE}, labels, "1", not_quite)


CASES = [
    Case("NodewardenDown", {series("up"): "1x9 0x30"}, {}, "0", {series("up"): "1x9 0 1x30"}),
    Case(
        "NodewardenNoTargets",
        {series("up", node='job="node"'): "1x40"},
        {"cluster": "", "instance": ""},
        "1",
        {series("up"): "0x40"},
    ),
    Case("NodewardenTargetLost", {series("up"): "1x2 stale"}, {}, "1", {series("up"): "1x2 0x40"}),
    Case(
        "NodewardenCrashLoop",
        {series("process_start_time_seconds"): "0 100 200 300x40"},
        {},
        "3",
        {series("process_start_time_seconds"): "0 100 200x40"},
    ),
    Case(
        "NodewardenSourceLost",
        {
            series("nodewarden_source_up", 'source="journal"'): "1x9 0x30",
            series("nodewarden_source_wanted", 'source="journal"'): "1x40",
        },
        {"source": "journal"},
        "0",
        {
            series("nodewarden_source_up", 'source="journal"'): "0x40",
            series("nodewarden_source_wanted", 'source="journal"'): "0x40",
            series("nodewarden_source_up", 'source="drops"'): "0x40",
            series("nodewarden_source_wanted", 'source="drops"'): "1x40",
        },
    ),
    Case(
        "NodewardenSourceLagging",
        {series("nodewarden_source_lag_seconds", 'source="files"'): "0x4 20+1x30"},
        {"source": "files"},
        "29s",
        {
            series("nodewarden_source_lag_seconds", 'source="files"'): "3600x40",
            series("nodewarden_source_lag_seconds", 'source="journal"'): "1+0.1x40",
        },
    ),
    _counter("NodewardenRecordsLost", "nodewarden_source_lost_records_total", {"source": "conntrack"}),
    _counter("NodewardenRecordsLost", "nodewarden_source_suppressed_records_total", {"source": "journal"}),
    Case(
        "NodewardenFilterDown",
        {series("nodewarden_filter_up", 'detector="web"'): "0x40"},
        {"detector": "web"},
        "0",
        {series("nodewarden_filter_up", 'detector="web"'): "1x11 0x30"},
    ),
    Case(
        "NodewardenEbpfOff",
        {
            series("nodewarden_ebpf_up", 'program="drops"'): "1x5 0x40",
            series("nodewarden_source_wanted", 'source="drops"'): "1x40",
        },
        {"program": "drops"},
        "0",
        {
            series("nodewarden_ebpf_up", 'program="drops"'): "1x5 0x40",
            series("nodewarden_source_wanted", 'source="drops"'): "1x5 0x40",
            series("nodewarden_ebpf_up", 'program="xdp_ban"'): "0x40",
        },
    ),
    Case(
        "NodewardenEbpfOff",
        {series("nodewarden_ebpf_up", 'program="xdp_ban"'): "1x5 0x40"},
        {"program": "xdp_ban"},
        "0",
        {series("nodewarden_ebpf_up", 'program="xdp_ban"'): "1x5 0x3 1x40"},
    ),
    Case(
        "NodewardenEbpfOff",
        {
            series("nodewarden_xdp_attached", 'interface="eth0",mode="native"'): "1x5 0x40",
            series("nodewarden_xdp_attached", 'interface="eth0",mode="generic"'): "0x40",
        },
        {"interface": "eth0"},
        "0",
        {
            series("nodewarden_xdp_attached", 'interface="eth0",mode="native"'): "1x5 0x40",
            series("nodewarden_xdp_attached", 'interface="eth0",mode="generic"'): "0x5 1x40",
        },
    ),
    Case(
        "NodewardenProblem",
        {series("nodewarden_problem", 'kind="clock"'): "1x40"},
        {"kind": "clock"},
        "1",
        {
            series("nodewarden_problem", 'kind="clock"'): "1x8 0x30",
            series("nodewarden_problem", 'kind="flood"'): "1x40",
        },
    ),
    Case(
        "NodewardenReloadFailed",
        {series("nodewarden_config_last_reload_successful"): "1x9 0x30"},
        {},
        "0",
        {series("nodewarden_config_last_reload_successful"): "1x40"},
    ),
    Case(
        "NodewardenStateNotSaved",
        {series("nodewarden_state_saving"): "1x5 0x30"},
        {},
        "0",
        {series("nodewarden_state_saving"): "1x11 0x30"},
    ),
    _counter("NodewardenInternalErrors", "nodewarden_internal_errors_total", {}),
    _counter("NodewardenListenerErrors", "nodewarden_listener_errors_total", {"listener": "log"}),
    Case(
        "NodewardenTableMissing",
        {
            series("nodewarden_table_up"): "1x9 0x30",
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="proven"'): "0x40",
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="spoofable"'): "3x40",
        },
        {},
        "0",
        {
            series("nodewarden_table_up"): "0x40",
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="proven"'): "0x40",
            series("nodewarden_bans", 'detector="sshd",mode="observe",strength="proven"'): "9x40",
        },
    ),
    Case(
        "NodewardenTableFault",
        {series("nodewarden_table_fault", 'part="comparison"'): "1x40"},
        {"part": "comparison"},
        "1",
        {series("nodewarden_table_fault", 'part="comparison"'): "1x4 0x30"},
    ),
    *(
        Case(
            "NodewardenBlind",
            {series(name, labels): f"{value}x40"},
            found,
            value,
            {series(name, labels): f"{value}x4 0x30"},
        )
        for name, labels, value, found in (
            (
                "nodewarden_sysctl_fault",
                'sysctl="net.netfilter.nf_conntrack_events"',
                "1",
                {"sysctl": "net.netfilter.nf_conntrack_events"},
            ),
            ("nodewarden_tracking_paused", "", "1", {}),
            ("nodewarden_conntrack_unreported_connections", "", "50", {}),
        )
    ),
    Case(
        "NodewardenNameUnresolved",
        {series("nodewarden_allowlist_unresolved_names"): "2x40"},
        {},
        "2",
        {series("nodewarden_allowlist_unresolved_names"): "2x10 0x30"},
    ),
    _counter(
        "NodewardenTableTampered", "nodewarden_table_drift_total", {"kind": "rules_changed"}, other='kind="overrun"'
    ),
    Case(
        "NodewardenBanWithoutEffect",
        {series("nodewarden_leaked_packets_total", 'hook="input"'): "0x9 20+20x30"},
        {"hook": "input"},
        "100",
        {series("nodewarden_leaked_packets_total", 'hook="input"'): "0x9 8x30"},
    ),
    Case(
        "NodewardenBanRefused",
        {series("nodewarden_ban_failures_total"): _ONE_MORE},
        {},
        "1",
        {series("nodewarden_ban_failures_total"): "5x40"},
    ),
    Case(
        "NodewardenBudgetExhausted",
        {series("nodewarden_budget_refused_total", 'strength="proven"'): "0x9 10+10x30"},
        {"strength": "proven"},
        "50",
        {series("nodewarden_budget_refused_total", 'strength="proven"'): "90x40"},
    ),
    _counter(
        "NodewardenAllowlistedOffender",
        "nodewarden_decisions_total",
        {"detector": "sshd"},
        more='verdict="allowlisted"',
        other='detector="manual",verdict="allowlisted"',
    ),
    *(
        Case(
            "NodewardenHurting",
            {series("nodewarden_harm_signs_total", f'sign="{sign}"'): f"0x9 {many}x30"},
            {"sign": sign},
            f"{many}",
            {
                series("nodewarden_harm_signs_total", f'sign="{sign}"'): f"0x9 {few}x30",
                series("nodewarden_harm_signs_total", 'sign="allowlisted"'): "0x9 50x30",
            },
        )
        for sign, many, few in (
            ("client_shunned", 1, 0),
            ("lifted_early", 1, 0),
            ("client_banned", 6, 3),
            ("withdrawn", 6, 3),
        )
    ),
    Case(
        "NodewardenInternalRefused",
        {
            series("nodewarden_internal_dropped_packets_total"): "0+600x40",
            series("nodewarden_set_dropped_packets_total", 'set="ban4"'): "0+900x40",
        },
        {},
        "10",
        {
            series("nodewarden_internal_dropped_packets_total"): "0+600x40",
            series("nodewarden_set_dropped_packets_total", 'set="ban4"'): "0+1500x40",
        },
    ),
    Case(
        "NodewardenScraperBanned",
        {series("nodewarden_scrapers", 'state="banned"'): "1x40"},
        {"state": "banned"},
        "1",
        {
            series("nodewarden_scrapers", 'state="unprotected"'): "5x40",
            series("nodewarden_scrapers", 'state="banned"'): "0x40",
        },
    ),
    Case(
        "NodewardenListFault",
        {series("nodewarden_problem", 'kind="lists"'): "1x240"},
        {"kind": "lists"},
        "",
        {
            series("nodewarden_problem", 'kind="lists"'): "0x240",
            series("nodewarden_problem", 'kind="tracking"'): "1x240",
        },
    ),
    Case(
        "NodewardenAudit",
        {
            series("nodewarden_audit_findings", 'check="exposed-etcd",severity="critical"'): "2x40",
            series("nodewarden_audit_findings", 'check="exposed-etcd",severity="high"'): "1x40",
        },
        {"check": "exposed-etcd"},
        "3",
        {
            series("nodewarden_audit_findings", 'check="exposed-etcd",severity="critical"'): "0x40",
            series("nodewarden_audit_findings", 'check="redirects",severity="medium"'): "9x40",
        },
    ),
    Case(
        "NodewardenAuditStale",
        {series("nodewarden_problem", 'kind="audit"'): "1x240"},
        {"kind": "audit"},
        "",
        {
            series("nodewarden_problem", 'kind="audit"'): "0x240",
            series("nodewarden_problem", 'kind="tracking"'): "1x240",
        },
    ),
    Case(
        "NodewardenNotifyFault",
        {series("nodewarden_problem", 'kind="notify"'): "1x240"},
        {"kind": "notify"},
        "",
        {
            series("nodewarden_problem", 'kind="notify"'): "0x240",
            series("nodewarden_problem", 'kind="lists"'): "1x240",
        },
    ),
    Case(
        "NodewardenSetNearlyFull",
        {
            series("nodewarden_set_elements", 'set="shun4"'): "95x40",
            series("nodewarden_set_elements_limit", 'set="shun4"'): "100x40",
        },
        {"set": "shun4"},
        "95%",
        {
            series("nodewarden_set_elements", 'set="shun4"'): "89x40",
            series("nodewarden_set_elements_limit", 'set="shun4"'): "100x40",
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="proven"'): "49x40",
            series("nodewarden_bans", 'detector="sshd",mode="observe",strength="proven"'): "40x40",
            series("nodewarden_bans_limit"): "100x40",
        },
    ),
    Case(
        "NodewardenSetNearlyFull",
        {
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="proven"'): "51x40",
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="spoofable"'): "41x40",
            series("nodewarden_bans_limit"): "100x40",
        },
        {"set": "all"},
        "92%",
        {
            series("nodewarden_bans", 'detector="sshd",mode="enforce",strength="proven"'): "51x40",
            series("nodewarden_bans", 'detector="sshd",mode="observe",strength="spoofable"'): "41x40",
            series("nodewarden_bans_limit"): "100x40",
        },
    ),
    Case(
        "NodewardenAllowlistCut",
        {series("nodewarden_allowlist_omitted", 'provider="command"'): "7x40"},
        {"provider": "command"},
        "7",
        {series("nodewarden_allowlist_omitted", 'provider="command"'): "0x40"},
    ),
    Case(
        "NodewardenNoRoom",
        {series("nodewarden_bans_full", 'class="spoofable"'): "1x40"},
        {"class": "spoofable"},
        "spoofable",
        {
            series("nodewarden_bans_full", 'class="spoofable"'): "0x40",
            series("nodewarden_bans_full", 'class="observed"'): "1x40",
        },
    ),
    Case(
        "NodewardenAnomaly",
        {
            # no band for an hour, so one is written here; in life it comes from bands.yaml
            series("instance:nodewarden_signal:upper", 'signal="conntrack"'): "0.3x40",
            series("instance:nodewarden_signal:lower", 'signal="conntrack"'): "0.125x40",
            series("nodewarden_conntrack_entries"): "20x9 50x30",
            series("nodewarden_conntrack_entries_limit"): "100x40",
        },
        {"signal": "conntrack", "direction": "above"},
        "500m",
        {
            series("instance:nodewarden_signal:upper", 'signal="conntrack"'): "0.3x40",
            series("instance:nodewarden_signal:lower", 'signal="conntrack"'): "0x40",
            series("nodewarden_conntrack_entries"): "10x11 50 50 10x30",
            series("nodewarden_conntrack_entries_limit"): "100x40",
        },
        {"lower": "125m", "upper": "300m"},
    ),
    Case(
        "NodewardenAnomaly",
        {
            series("instance:nodewarden_signal:upper", 'signal="flows"'): "300x40",
            series("instance:nodewarden_signal:lower", 'signal="flows"'): "100x40",
            series("nodewarden_flows_total", 'event="opened"'): "0+12000x9 120000x30",
        },
        {"signal": "flows", "direction": "below"},
        "0",
        {
            series("instance:nodewarden_signal:upper", 'signal="bans"'): "300x40",
            series("instance:nodewarden_signal:lower", 'signal="bans"'): "0x40",
            series("nodewarden_decisions_total", 'detector="port_scan",verdict="ban"'): "0x9 200x40",
        },
        {"lower": "100", "upper": "300"},
    ),
    Case(
        "NodewardenBandsMissing",
        {series("nodewarden_conntrack_entries"): "20x240", series("nodewarden_conntrack_entries_limit"): "100x240"},
        {"signal": "conntrack"},
        "0.2",
        {
            series("nodewarden_conntrack_entries"): "20x240",
            series("nodewarden_conntrack_entries_limit"): "100x240",
            series("instance:nodewarden_signal:upper", 'signal="conntrack"'): "0.3x240",
            series("instance:nodewarden_signal:lower", 'signal="conntrack"'): "0x240",
            series("up"): "1x240",
        },
        at_min=200,
    ),
    Case(
        "NodewardenBandsMissing",
        {series("up"): "1x240"},
        {},
        "1",
        {
            series("nodewarden_conntrack_entries"): "20x170",
            series("nodewarden_conntrack_entries_limit"): "100x170",
            series("up"): "1x170 0x60",
        },
        at_min=200,
    ),
    # two hundred bans at once: they are in the rate for two minutes
    Case(
        "NodewardenAnomaly",
        {
            series("instance:nodewarden_signal:upper", 'signal="bans"'): "5x40",
            series("instance:nodewarden_signal:lower", 'signal="bans"'): "0x40",
            series("nodewarden_decisions_total", 'detector="port_scan",verdict="ban"'): "0x12 200x40",
        },
        {"signal": "bans", "direction": "above"},
        "100",
        {
            series("instance:nodewarden_signal:upper", 'signal="bans"'): "5x40",
            series("instance:nodewarden_signal:lower", 'signal="bans"'): "0x40",
            series("nodewarden_decisions_total", 'detector="port_scan",verdict="ban"'): "0x9 6x40",
        },
        {"lower": "0", "upper": "5"},
    ),
    _counter("NodewardenFlood", "nodewarden_detector_floods_total", {"detector": "half_open"}),
    Case(
        "NodewardenConntrackNearlyFull",
        {
            series("nodewarden_conntrack_entries"): "10x9 90x30",
            series("nodewarden_conntrack_entries_limit"): "100x40",
        },
        {},
        "90%",
        {
            series("nodewarden_conntrack_entries"): "84x40",
            series("nodewarden_conntrack_entries_limit"): "100x40",
        },
    ),
    *(
        _counter(name, "nodewarden_detector_alerts_total", {}, more=f'detector="{detector}"', other='detector="sshd"')
        for name, detector in (
            ("NodewardenProtectedPortTouched", "protected_port"),
            ("NodewardenEgressViolation", "egress"),
        )
    ),
    *(
        Case(
            f"NodewardenFleet{name}",
            {series("nodewarden_problem", f'kind="{kind}"'): "1x40"},
            {"kind": kind},
            "1",
            {
                series("nodewarden_problem", f'kind="{kind}"'): over,
                series("nodewarden_problem", 'kind="clock"'): "1x40",
            },
        )
        for name, kind, over in (
            ("Server", "fleet", "1x3 0x40"),
            ("Breaker", "fleet_breaker", "0x40"),
            ("Differs", "fleet_differs", "1x8 0x40"),
            ("Waiting", "fleet_waiting", "1 0x40"),
        )
    ),
]


def _said(rule: dict[str, Any], labels: dict[str, str], value: str, edges: dict[str, str]) -> dict[str, str]:
    """Return what the annotations come to."""

    def edge(match: re.Match[str]) -> str:
        return edges[match[1]]

    def fill(match: re.Match[str]) -> str:
        if match[1].strip().startswith("urlquery"):
            return urllib.parse.quote_plus(labels[match[1].rpartition(".")[2].strip()])
        name = re.fullmatch(r"\$labels\.(\w+)", match[1].strip())
        return labels.get(name[1], "") if name else value

    told = {key: re.sub(_EDGE, edge, text) for key, text in rule["annotations"].items()}
    return {key: re.sub(r"\{\{(.*?)\}\}", fill, text) for key, text in told.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_fires_with_all_that_it_says(tmp_path: Path, case: Case) -> None:
    """After fifteen minutes, with these labels, its severity, and annotations in which every gap is filled."""
    rule = ALERTS[case.name]
    labels = {name: value for name, value in (NODE | case.labels).items() if value}
    said = _said(rule, labels, case.value, case.edges)
    expected = {"exp_labels": labels | rule["labels"], "exp_annotations": said}
    fires = {"eval_time": f"{case.at_min}m", "alertname": case.name, "exp_alerts": [expected]}
    support.run(tmp_path, case.fires, alerts=[fires], alert=case.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_does_not_fire_for_less(tmp_path: Path, case: Case) -> None:
    """Not for what was so all the time, is over in a moment, concerns others, or is below the threshold."""
    silent = {"eval_time": f"{case.at_min}m", "alertname": case.name, "exp_alerts": []}
    support.run(tmp_path, case.not_quite, alerts=[silent], alert=case.name)


def _minutes(duration: str) -> int:
    return int(duration[:-1]) * {"m": 1, "h": 60, "d": 24 * 60}[duration[-1]]


@pytest.mark.parametrize("name", sorted(name for name, rule in ALERTS.items() if "increase(" in rule["expr"]))
def test_what_happens_once_is_not_missed(name: str) -> None:
    """What is over in a moment is in the window of a counter for longer than an alert waits, and the alert stays."""
    rule = ALERTS[name]
    windows = re.findall(r"\bincrease\([^\[]*\[(\w+)\]", rule["expr"])
    assert min(map(_minutes, windows)) > 2 * _minutes(rule.get("for", "0m"))
    assert _minutes(rule["keep_firing_for"]) >= 5


def test_every_alert_is_tested() -> None:
    """There is a case for each alert there is."""
    assert {case.name for case in CASES} == set(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_can_be_acted_upon(name: str) -> None:
    """A severity, a summary, a description, and a runbook in four parts, of which Diagnosis has commands."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) - {"dashboard_url"} == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    text = (ROOT / "docs/runbooks" / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert all(part.strip() for part in parts)
    assert re.search(r"^    \S", parts[2], re.MULTILINE), "Diagnosis has no command"


def test_there_are_no_runbooks_for_nothing() -> None:
    """Each page belongs to an alert."""
    assert {path.stem for path in (ROOT / "docs/runbooks").glob("Nodewarden*.md")} == set(ALERTS)
