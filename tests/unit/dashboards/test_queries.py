"""What the dashboards ask for exists, and what exists is shown."""

import re

import pytest

from dashboards.aggregates import AGGREGATES, DOWN, EDGE_RATIO, FLOODS, NEAR, OUTSIDE, PROBLEMS
from dashboards.unshown import UNSHOWN
from monitor.daemon.catalogue import METRICS, Kind
from monitor.detectors.registry import REGISTRATIONS
from monitor.model.bans import NOT_DETECTORS
from tests.support.dashboards import NAMES, DashboardQuery, filled, load, queries
from tests.unit.dashboards.promql import ANY, groupings, result_labels, selectors

_SCRAPED = frozenset(("job", "cluster", "instance"))
_PROCESS = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
)
_SIGNAL = frozenset(("signal",))
_RULES = {
    "instance:nodewarden_signal:last2m": _SIGNAL,
    "instance:nodewarden_signal:band": _SIGNAL,
    "instance:nodewarden_attack:last_timestamp_seconds": frozenset[str](),
    "instance:nodewarden_signal:lower": _SIGNAL,
    "instance:nodewarden_signal:upper": _SIGNAL,
    "instance:nodewarden_signal:anomaly": _SIGNAL,
    EDGE_RATIO: _SIGNAL,
    OUTSIDE: _SIGNAL,
    DOWN: frozenset[str](),
    FLOODS: frozenset[str](),
    NEAR: frozenset(("detector",)),
    PROBLEMS: frozenset(("kind",)),
    **{one.name: frozenset(one.labels) for one in AGGREGATES},
    "ALERTS": frozenset(("alertname", "alertstate", "severity")),
    "ALERTS_FOR_STATE": frozenset(("alertname", "severity")),
}
"""What Prometheus makes by the rules in dashboards/rules."""
_FIXED_WINDOWS = {
    "5m": "marks have a step of their own; the kernel counts runs one second a minute",
    "30m": "an incident is one mark",
    "1m": "a budget is one of a minute",
    "15m": "an attack that has just ended is still to be seen",
}
"""Windows that are not Grafana's, and what they are for."""


def _known() -> dict[str, frozenset[str]]:
    """Return every series there is by name, with its own labels."""
    known = {"up": frozenset[str](), **dict.fromkeys(_PROCESS, frozenset[str]()), **_RULES}
    for metric in METRICS:
        if metric.kind is Kind.HISTOGRAM:
            known[f"{metric.name}_bucket"] = frozenset((*metric.labels, "le"))
            known[f"{metric.name}_sum"] = known[f"{metric.name}_count"] = frozenset(metric.labels)
        else:
            known[metric.name] = frozenset(metric.labels)
    return known


_KNOWN = _known()
_ASKED = [asked for name in NAMES for asked in queries(name)]


def _name(asked: DashboardQuery) -> str:
    return f"{asked.dashboard}: {asked.panel}"


@pytest.mark.parametrize("asked", _ASKED, ids=_name)
def test_metrics_and_labels_exist(asked: DashboardQuery) -> None:
    """Every metric is in the catalogue, a process metric, or made by our rules, and has the labels that are used."""
    expression = filled(asked.expression)
    for metric, chosen in selectors(expression):
        assert metric in _KNOWN, f"there is no {metric}"
        assert chosen <= _KNOWN[metric] | _SCRAPED, f"{metric} has no {chosen - _KNOWN[metric] - _SCRAPED}"
    for labels, metrics in groupings(expression):
        below = set(_SCRAPED).union(*(_KNOWN[metric] for metric in metrics))
        assert labels <= below, f"nothing has {labels - below}"


@pytest.mark.parametrize("asked", _ASKED, ids=_name)
def test_detectors_that_are_named_exist(asked: DashboardQuery) -> None:
    """A query about certain detectors names registered ones, or an origin of bans that is none."""
    known = {*(one.name for one in REGISTRATIONS), *NOT_DETECTORS}
    for names in re.findall(r'detector=~?"([^"$]*)"', asked.expression):
        assert set(names.split("|")) <= known


@pytest.mark.parametrize("asked", _ASKED, ids=_name)
def test_legends_name_labels_of_the_result(asked: DashboardQuery) -> None:
    """What a legend puts into a series' name is a label that the query leaves."""
    expression = filled(asked.expression)
    left = result_labels(expression)
    if ANY in left:
        left = left.union(_SCRAPED, *(_KNOWN[metric] for metric, _ in selectors(expression)))
    used = set(re.findall(r"\{\{(\w+)\}\}", asked.legend))
    assert used <= left, f"{used - left} is not among {left}"


@pytest.mark.parametrize("asked", _ASKED, ids=_name)
def test_nodes_that_are_chosen_are_asked(asked: DashboardQuery) -> None:
    """Every selector heeds the variables job, cluster and instance."""
    chosen = r'job=~"\$job",cluster=~"\$cluster",instance=~"\$instance"'
    assert len(re.findall(chosen, asked.expression)) == len(selectors(filled(asked.expression)))


@pytest.mark.parametrize("asked", _ASKED, ids=_name)
def test_windows_follow_the_scrape_interval(asked: DashboardQuery) -> None:
    """Rates are over Grafana's own window, whatever the scrape interval is, but for the few with a reason."""
    for window in re.findall(r"\[([^\]]+)\]", asked.expression):
        assert window in ("$__rate_interval", "$__range", "$__interval") or window in _FIXED_WINDOWS, window
    for counter in re.findall(r"(\w+_total)\{", asked.expression):
        risen = (
            rf"(rate|increase)\({counter}|clamp_min\({counter}\{{[^}}]*\}} - {counter}\{{[^}}]*\}} offset \$__interval"
        )
        is_plain = counter.endswith("setups_total") or asked.legend == "examples"
        assert re.search(risen, asked.expression) or is_plain, counter


def test_every_metric_is_shown_or_has_a_reason() -> None:
    """A metric that nobody can see is either on the list of those, with a reason, or missing from the dashboards."""
    shown = {metric for asked in _ASKED for metric, _ in selectors(filled(asked.expression))}
    shown |= {one.counter for one in AGGREGATES if one.name in shown}
    families = {metric.name: metric for metric in METRICS}
    missing = {
        name
        for name in families
        if not shown & {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"} and name not in UNSHOWN
    }
    assert not missing
    assert not set(UNSHOWN) & shown, "shown after all: take it off the list"
    assert set(UNSHOWN) <= set(families), "there is no such metric any more"


def test_variables_ask_for_what_exists() -> None:
    """The lists of nodes and detectors come from metrics that there are."""
    for name in NAMES:
        for variable in load(name)["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
                assert found, variable
                assert found[2] in _KNOWN[found[1]] | _SCRAPED
