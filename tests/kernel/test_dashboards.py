"""Every query of every dashboard, on a real Prometheus that scraped the daemon through real attacks."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dashboards.aggregates import AGGREGATES, OTHERS
from tests.support.attacks import Attacks, operate
from tests.support.daemon import wait_for
from tests.support.dashboards import NAMES, DashboardQuery, filled, queries
from tests.support.edges import NODES, Edges, OrdinaryWork
from tests.support.prometheus import RULES
from tests.support.signal_history import signal_history
from tests.unit.dashboards.promql import selectors

pytestmark = pytest.mark.kernel

_SCRAPE_S = 1.0
_WINDOW_S = 15
_BOTNET = 20

_ONE_SECOND_A_MINUTE = "the kernel keeps count of runs in one second of each minute, and the test is shorter"
_SIGNALS = (
    *("New bans", "Alerts", "Packets dropped by the kernel", "Packets stopped by the guard", "New flows"),
    "Connection table usage",
)
_OF_A_BAND = ("now", "usually at least", "usually at most", "unusual")
_OF_ONE_NODE = "the band is drawn of a single node, and the lab has two"
_MOMENT = "whether a signal is unusual at the end of the attacks is a matter of seconds"
_EXAMPLES = "asks for exemplars only, and has no values"
_DOWN = ("mark: Guard down", "{{instance}}: guard does not respond")
_UNUSUAL = re.compile(r"instance:nodewarden_signal:(anomaly|outside){")
"""Drops are those of the whole machine, where other tests send floods: whether they are usual is not ours to say."""
_MAY_BE_EMPTY = {
    **{
        ("pods", one.panel, one.legend): "series of pods are off by default, and the lab has no pods"
        for one in queries("pods")
        if "nodewarden_pod_dropped_packets_total" in one.expression
    },
    **{
        ("fleet", one.panel, one.legend): "the nodes of the lab are in no fleet"
        for one in queries("fleet")
        if "nodewarden_fleet_" in one.expression
    },
    **{
        (
            "guard",
            one.panel,
            one.legend,
        ): "the nodes of the lab have no lists, no LAPI, no channels, and are not audited"
        for one in queries("guard")
        if any(f"nodewarden_{of}_" in one.expression for of in ("crowdsec", "list", "notify", "audit"))
    },
    **{(name, *_DOWN): "no guard is down before the test that stops one" for name in NAMES},
    ("overview", "What does it cost?", "eBPF run"): _ONE_SECOND_A_MINUTE,
    ("overview", "Alerts by detector", "examples"): _EXAMPLES,
    ("detectors", "Alerts by detector and mode", "examples"): _EXAMPLES,
    ("who", "Alerts, with an example of each", "examples"): _EXAMPLES,
    ("who", "Decisions, with an example of each", "examples"): _EXAMPLES,
    **{("anomalies", "Signals outside their band", name): _MOMENT for name in ("Times", "Now", "From", "To", "Band")},
    **{("anomalies", title, name): _OF_ONE_NODE for title in _SIGNALS for name in _OF_A_BAND},
    ("overview", "Firing alerts", "For"): "alerts wait for minutes before they fire",
    ("guard", "eBPF run time", "{{program}}"): _ONE_SECOND_A_MINUTE,
}
"""What may show nothing although all is well, by dashboard, panel and series, with the reason."""


class Watched:
    """Nodes that were attacked, and when."""

    def __init__(self, edges: Edges) -> None:
        self.edges = edges
        self.attacks = Attacks(edges)
        self.since_s = time.time()
        self.begun_s = float("inf")
        """When the first attack was over."""
        self.shown_s = 0.0
        """When rules had been evaluated on two scrapes after it, the one that was under way not counted."""

    def samples(self, expression: str) -> list[list[tuple[float, float]]]:
        """Return the values of each series of a query from the begin until now."""
        found = self.edges.prometheus.query_range(expression, self.since_s, time.time(), _SCRAPE_S)
        return [[(float(at_s), float(value)) for at_s, value in series["values"]] for series in found]

    def scrapes_after(self, moment_s: float) -> list[float]:
        """Return when the second node was scraped after a moment."""
        found = self.edges.prometheus.query(f'up{{instance="{NODES[1]}"}}[10m]')
        return [float(at_s) for series in found for at_s, _ in series["values"] if float(at_s) > moment_s]

    def wait_for_scrapes(self, moment_s: float, count: int) -> None:
        """Wait until it was scraped so often after a moment."""
        wait_for(lambda: len(self.scrapes_after(moment_s)) >= count, f"{count} scrapes", timeout_s=20)

    def wait_for_rules(self) -> float:
        """Wait until all rules were evaluated on what is stored now, and return the time.

        Each group is evaluated at a phase of its own, and later on a loaded machine. Sums per node take the anomalies
        of another group, so all are evaluated again on the results.
        """
        for _ in range(2):
            stored_s = time.time()
            self._wait_for_evaluation(stored_s)
        return time.time()

    def _wait_for_evaluation(self, since_s: float) -> None:
        wait_for(lambda: self.edges.prometheus.evaluated_s() > since_s, "evaluation of all rules", timeout_s=20)


def _hurried(rules: Sequence[Path], directory: Path) -> list[Path]:
    """Return copies of the rules that are evaluated as often as the lab is scraped."""
    copies = [directory / path.name for path in rules]
    for path, copy in zip(rules, copies, strict=True):
        text = re.sub(r"interval: \w+", f"interval: {round(_SCRAPE_S)}s", path.read_text())
        copy.write_text(text.replace("offset 15s", f"offset {round(_SCRAPE_S)}s"))
    return copies


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield two nodes after seconds of ordinary work and every kind of attack; a day of history lies before them."""
    directory = tmp_path_factory.mktemp("edges")
    edges = Edges(directory, scrape_s=_SCRAPE_S, rules=_hurried(RULES, directory))
    edges.prometheus.add_history(signal_history(NODES, time.time() - 5))
    with edges:
        seen = Watched(edges)
        work = OrdinaryWork(edges, per_s=10)
        seen.wait_for_scrapes(0, 4)
        for _ in range(_BOTNET):
            guesser = seen.attacks.guess_passwords(edges.nodes[1])
        wait_for(lambda: len(edges.daemons[1].ask("list")) == _BOTNET, "bans of the botnet")
        seen.begun_s = time.time()
        seen.attacks.keep_sending(edges.nodes[1], guesser)
        seen.wait_for_scrapes(seen.begun_s, 3)
        seen.shown_s = seen.wait_for_rules()
        _attack(seen)
        seen.wait_for_scrapes(time.time(), 3)
        seen.wait_for_rules()
        work.stop()
        assert work.failed == 0
        yield seen


def _attack(seen: Watched) -> None:
    """Do everything there is to the first node."""
    attacks, target = seen.attacks, seen.edges.nodes[0]
    scanner = attacks.scan(target)
    attacks.scan_from_within(target)
    guesser = attacks.guess_passwords(target)
    attacks.flood(target)
    attacks.confuse(target)
    attacks.touch_protected_port(target)
    attacks.call_out(target)
    attacks.amplify(target)
    attacks.keep_sending(target, guesser)
    attacks.keep_sending(target, scanner)
    operate(seen.edges.daemons[0], target, 7)
    seen.edges.daemons[0].run("reload")


def _span(watched: Watched) -> str:
    return f"{round(time.time() - watched.since_s)}s"


def _shows(watched: Watched, asked: DashboardQuery) -> bool:
    """Whether a query finds anything, at any time for those over time, now for those of the moment."""
    expression = filled(asked.expression, _span(watched), f"{_WINDOW_S}s")
    found = watched.edges.prometheus.query(expression) if asked.is_instant else watched.samples(expression)
    return bool(found) or _is_nothing(watched, expression)


def _is_nothing(watched: Watched, expression: str) -> bool:
    """Whether a query is empty because nothing happened: rules record no zeros, and what they sum up is there."""
    recorded = {one.name: [one.counter] for one in AGGREGATES}
    recorded |= {name: [one for one, _ in selectors(text)] for name, text in OTHERS.items()}
    asked = [name for name, _ in selectors(expression) if name in recorded]
    counters = {counter for name in asked for counter in recorded[name]}
    return bool(asked) and all(watched.edges.prometheus.query(f"last_over_time({one}[10m])") for one in counters)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_finds_something(watched: Watched, name: str) -> None:
    """With variables filled in, Prometheus takes each query of the dashboard, and all but the listed ones find data."""
    empty = {(name, asked.panel, asked.legend) for asked in queries(name) if not _shows(watched, asked)}
    assert empty <= set(_MAY_BE_EMPTY)


def _value_at(watched: Watched, expression: str, moment_s: float) -> float:
    """Return the highest value of a query at a moment; 0 if it finds nothing."""
    found = watched.edges.prometheus.query(filled(expression, "1m", f"{_WINDOW_S}s"), moment_s)
    return max((float(series["value"][1]) for series in found), default=0.0)


def _asked(dashboard: str, panel: str, legend: str) -> str:
    """Return the query behind what people look at."""
    (asked,) = [one for one in queries(dashboard) if (one.panel, one.legend) == (panel, legend)]
    return _UNUSUAL.sub(r'\g<0>signal!="drops",', asked.expression)


@pytest.mark.parametrize(
    ("dashboard", "panel", "legend"),
    [
        ("overview", "Are nodes under attack?", "Alerts in 15 min"),
        ("overview", "Are nodes under attack?", "New bans in 15 min"),
        ("overview", "Are nodes under attack?", "Unusual signals"),
        ("overview", "What was stopped?", "Bans in force"),
        ("overview", "mark: Bans", "first bans after half an hour without any"),
        ("anomalies", "New bans", "{{instance}}: times its edge"),
        ("anomalies", "Share of nodes outside their band", "{{signal}}"),
        ("anomalies", "mark: Anomalies", "{{signal}} becomes unusual"),
    ],
)
def test_an_attack_is_seen_within_two_scrapes(watched: Watched, dashboard: str, panel: str, legend: str) -> None:
    """Nothing before a botnet comes; once rules are evaluated on the second scrape after it, it is shown as unusual."""
    expression = _asked(dashboard, panel, legend)
    before_s = watched.scrapes_after(0)[3]
    assert _value_at(watched, expression, before_s) == 0
    assert _value_at(watched, expression, watched.shown_s) > 0


def test_bans_in_force_are_as_many_as_there_are(watched: Watched) -> None:
    """The overview's number, and that of each node, is what `nodewarden list` says."""
    held = [len(daemon.ask("list")) for daemon in watched.edges.daemons]
    watched.wait_for_scrapes(time.time(), 2)
    evaluated_s = watched.wait_for_rules()
    assert _value_at(watched, _asked("overview", "What was stopped?", "Bans in force"), evaluated_s) == sum(held)
    by_node = watched.edges.prometheus.query(filled(_asked("overview", "Nodes", "Bans")))
    assert {one["metric"]["instance"]: float(one["value"][1]) for one in by_node} == dict(zip(NODES, held, strict=True))


def test_a_guard_that_ended_is_told(watched: Watched) -> None:
    """At the second scrape that finds nobody, one node is without guard; afterwards none is."""
    expression = _asked("overview", "Is the guard healthy?", "Nodes without guard")
    daemon = watched.edges.daemons[1]
    for change, down in ((daemon.stop, 1), (daemon.start, 0)):
        change()
        watched.wait_for_scrapes(time.time(), 2)
        assert _value_at(watched, expression, time.time()) == down
    assert _value_at(watched, _asked("overview", *_DOWN), time.time()) == 1
