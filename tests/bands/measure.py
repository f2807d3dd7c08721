"""Evaluates the shipped rules over nodes in a real Prometheus, and reads off when the alert started to fire.

Rules are evaluated one after the other over all weeks, each at the interval of its group, instead of all of them again
each minute: minutes of computing become seconds, and the figures are the same.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bands.server import Samples, Server
from tests.bands.weeks import WEEK_MIN, Attack, Node

RULES = Path(__file__).parents[2] / "dashboards/rules"
MINUTE_S = 60
EPOCH_S = 1_700_006_400
"""When the weeks start (Unix time): no figure depends on it."""
_ALERT = "NodewardenAnomaly"
_SERIES = {
    "flows": {"__name__": "nodewarden_flows_total", "event": "opened", "protocol": "tcp", "direction": "in"},
    "bans": {"__name__": "nodewarden_decisions_total", "detector": "port_scan", "verdict": "ban"},
}
_GRACE_MIN = 3
"""An alert may come as long after the end of an attack: rates are over two minutes."""


@dataclass(frozen=True)
class Figures:
    """What was measured on a node: alerts a week, or how many attacks were found and after how many minutes (mean)."""

    node: Node
    alerts_a_week: float
    found: int
    after_min: float


def measure(nodes: Sequence[Node], directory: Path) -> list[Figures]:
    """Return the figures of each node; `directory` is for files of Prometheus. OSError, ValueError."""
    with Server(directory) as server:
        for number, node in enumerate(nodes):
            labels = {"cluster": "default", "job": "nodewarden", "instance": str(number)} | _SERIES[node.signal]
            server.write([(labels, list(_counter(node)))], MINUTE_S)
        end_s = EPOCH_S + max(len(node.levels) for node in nodes) * MINUTE_S
        record(server, end_s)
        starts = _starts(server, end_s)
    return [_figures(node, starts.get(str(number), [])) for number, node in enumerate(nodes)]


def _counter(node: Node) -> Iterator[tuple[int, float]]:
    total = 0.0
    for minute, level in enumerate(node.levels):
        if level is not None:
            total += level * MINUTE_S
            yield EPOCH_S + minute * MINUTE_S, total


def _groups(least_s: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each recording rule with the interval of its group in seconds."""
    for name in ("signals.yaml", "bands.yaml"):
        for group in yaml.safe_load((RULES / name).read_text())["groups"]:
            for rule in group["rules"]:
                yield rule, max(least_s, _seconds(group["interval"]))


def _seconds(duration: str) -> int:
    count, unit = int(duration[:-1]), duration[-1]
    return count * {"s": 1, "m": 60, "h": 3600}[unit]


def record(server: Server, end_s: int, *, scrape_s: int = MINUTE_S) -> None:
    """Record the rules, each when all that it asks for is recorded, none more often than there are samples."""
    waiting = list(_groups(scrape_s))
    while waiting:
        missing = {rule["record"] for rule, _ in waiting}
        ready = next(one for one in waiting if not (missing - {one[0]["record"]}) & _named(one[0]))
        waiting.remove(ready)
        rule, step_s = ready
        named = {"__name__": rule["record"]} | rule.get("labels", {})
        found = _over(server, rule, end_s, step_s)
        server.write([(labels | named, samples) for labels, samples in found], step_s)


def _named(rule: dict[str, Any]) -> set[str]:
    return set(re.findall(r"\w+:\w+:\w+", rule["expr"]))


def _over(server: Server, rule: dict[str, Any], end_s: int, step_s: int) -> Iterator[tuple[dict[str, str], Samples]]:
    for labels, samples in server.over(rule["expr"], EPOCH_S, end_s, step_s):
        yield {name: value for name, value in labels.items() if name != "__name__"}, samples


def _starts(server: Server, end_s: int) -> dict[str, list[int]]:
    """Return by instance in which minutes its alert started to fire, by the times `for` and `keep_firing_for`."""
    groups = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"]
    alert = next(rule for group in groups for rule in group["rules"] if rule["alert"] == _ALERT)
    wait_s, keep_s = _seconds(alert["for"]), _seconds(alert["keep_firing_for"])
    starts: dict[str, list[int]] = {}
    for labels, samples in _over(server, alert, end_s, MINUTE_S):
        found = starts.setdefault(labels["instance"], [])
        found += [(at_s - EPOCH_S) // MINUTE_S for at_s in firing_since([at for at, _ in samples], wait_s, keep_s)]
    return {instance: sorted(found) for instance, found in starts.items()}


def firing_since(active_s: Sequence[int], wait_s: int, keep_s: int) -> Iterator[int]:
    """Yield when an alert starts to fire, of the times at which its expression held, a minute apart while it does."""
    since_s = before_s = None
    is_firing = False
    for at_s in active_s:
        if before_s is None or at_s > before_s + (keep_s if is_firing else MINUTE_S):
            since_s, is_firing = at_s, False
        before_s = at_s
        if not is_firing and since_s is not None and at_s - since_s >= wait_s:
            is_firing = True
            yield at_s


def _figures(node: Node, starts: Sequence[int]) -> Figures:
    lags_min = [lag for lag in (_lag(one, starts) for one in node.attacks) if lag is not None]
    length = len(node.levels) - node.measured_from
    alerts = sum(start >= node.measured_from for start in starts) if not node.attacks else 0
    mean_min = sum(lags_min) / len(lags_min) if lags_min else 0.0
    return Figures(node, alerts * WEEK_MIN / length, len(lags_min), mean_min)


def _lag(attack: Attack, starts: Sequence[int]) -> int | None:
    """Return minutes from the start of an attack until an alert, or None."""
    return next((at - attack.start for at in starts if attack.start <= at <= attack.end + _GRACE_MIN), None)
