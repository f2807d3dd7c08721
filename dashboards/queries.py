"""PromQL in pieces: every query asks for the nodes that are chosen in the dashboard's variables.

Counters with many series on each node are asked for as the sums that Prometheus records of them (`aggregates.py`).
"""

import re
from dataclasses import dataclass

from dashboards.aggregates import INTERVAL_S, LEVEL, RATE, RISE, SCRAPED, smallest

NODES = 'job=~"$job",cluster=~"$cluster",instance=~"$instance"'
WINDOW = "$__rate_interval"
STEP = "$__interval"
MINUTE_S = 60
BY_NODE = "cluster, instance"


@dataclass(frozen=True)
class Query:
    """An expression, what its series are called (fixed text, or `{{label}}`), and their colour if it is to be fixed."""

    expression: str
    name: str
    colour: str = ""


def select(metric: str, *matchers: str) -> str:
    """Return the series of a metric on the chosen nodes; `matchers` are more conditions, such as `mode="enforce"`."""
    return f"{metric}{{{','.join((NODES, *matchers))}}}"


_ALIVE = f"({select('up')} @ end() == 1)"
"""The chosen nodes whose guard responds, asked once and not at each step: nothing is 0 on a node that is not seen."""


def over(function: str, metric: str, *matchers: str, window: str = WINDOW) -> str:
    """Return a function over a window of time, such as `rate` or `max_over_time`."""
    return f"{function}({select(metric, *matchers)}[{window}])"


def add(expression: str, by: str = "") -> str:
    """Return the sum over all nodes, apart by labels (`by="detector, mode"`)."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def most(expression: str, by: str = "") -> str:
    """Return the highest of all nodes, apart by labels."""
    return f"max by ({by}) ({expression})" if by else f"max({expression})"


def _labels(by: str, matchers: tuple[str, ...]) -> frozenset[str]:
    """Return the labels that a query groups by and selects by."""
    named = {label.strip() for label in by.split(",")} | {re.split("[=!]", one, maxsplit=1)[0] for one in matchers}
    return frozenset(named - {"", *SCRAPED})


def _or_zero(expression: str, by: str) -> str:
    """Return what is recorded where it is not 0, with 0 for all else, unless it is by labels with unknown values."""
    return f"({expression})" if _labels(by, ()) else f"({expression} or {add('0 * ' + _ALIVE, by)})"


def per_second(metric: str, *matchers: str, by: str = "") -> str:
    """Return how fast a counter rises, summed over the nodes; 0 where it does not."""
    if recorded := smallest(metric, RATE, _labels(by, matchers)):
        samples = add(over("sum_over_time", recorded.name, *matchers, window=STEP), by)
        # The mean over a step; what is 0 is not recorded.
        return _or_zero(f"{samples} * {1000 * INTERVAL_S} / $__interval_ms", by)
    return add(over("rate", metric, *matchers), by)


def per_minute(metric: str, *matchers: str, by: str = "") -> str:
    """Return the rate of a counter per minute: for what happens often."""
    return f"{MINUTE_S} * {per_second(metric, *matchers, by=by)}"


def during(metric: str, *matchers: str, by: str = "", window: str = "$__range") -> str:
    """Return by how much a counter rose in the whole time that is shown; 0 where it did not."""
    if recorded := smallest(metric, RISE, _labels(by, matchers)):
        rises = add(over("sum_over_time", recorded.name, *matchers, window=window), by)
        return _or_zero(rises, by)
    return add(over("increase", metric, *matchers, window=window), by)


def during_by_detector(metric: str, *matchers: str, known: str = "nodewarden_detector_maxretry") -> str:
    """Return by how much a counter rose in the time that is shown, with 0 for each detector that `known` has.

    For tables: Grafana joins columns by the labels that all of them have, and an empty one has none.
    """
    chosen = [one for one in matchers if one.startswith("detector=")]
    return f"{during(metric, *matchers, by='detector')} or 0 * {most(select(known, *chosen), 'detector')}"


def events(metric: str, *matchers: str, by: str = "") -> str:
    """Return by how much a counter rose in each step, a whole number: an event is in one bar only.

    ValueError if its rises are not recorded. `increase` over a window as long as a step would miss what lies between
    two windows, and extrapolate the rest; differences that a panel computes would cost seconds.
    """
    if not smallest(metric, RISE, _labels(by, matchers)):
        raise ValueError(f"no rises of {metric} by {by} {matchers} are recorded: add them to aggregates.py")
    return during(metric, *matchers, by=by, window=STEP)


def examples(metric: str, *matchers: str) -> str:
    """Return a query by which Grafana finds the exemplars of a counter: no values, so that it costs nothing.

    Prometheus looks exemplars up by the series that a query names, at the time that is shown, whatever its offset.
    """
    return f"{select(metric, *matchers)} offset 10y"


def now(metric: str, *matchers: str, by: str = "") -> str:
    """Return a gauge, summed over the nodes."""
    if recorded := smallest(metric, LEVEL, _labels(by, matchers)):
        return add(select(recorded.name, *matchers), by)
    return add(select(metric, *matchers), by)


def counted_nodes() -> str:
    """Return one series for each chosen node that Prometheus scrapes, at the end of the time that is shown."""
    return f"group by ({BY_NODE}) ({select('up')} @ end())"


def highest(expression: str, count: int = 10) -> str:
    """Return the highest series only: a fleet has more nodes than a panel has room."""
    return f"topk({count}, {expression})"


def frequent(counter: str, by: str, count: int) -> str:
    """Return how fast a counter rises, apart by a label: the values that had most in all of the time that is shown."""
    recorded = smallest(counter, RATE, _labels(by, ()))
    whole = f"sum_over_time({select(recorded.name)}" if recorded else f"increase({select(counter)}"
    most_often = f"topk({count}, {add(f'{whole}[$__range] @ end())', by)} > 0)"
    return f"{per_second(counter, by=by)} and on ({by}) {most_often}"


def stopped(what: str = "packets", by: str = "") -> str:
    """Return packets or bytes dropped by the sets in nftables, and in XDP where that is on."""
    table, front = (per_second(f"nodewarden_{where}_dropped_{what}_total", by=by) for where in ("set", "xdp"))
    return f"{table} + {front}"


def or_none(expression: str) -> str:
    """Return 0 where an expression finds nothing, but nothing where there is no node to ask."""
    return f"({expression}) or sum(0 * {_ALIVE})"


_OURS = 'alertname=~"Nodewarden.*"'
_FIRING = select("ALERTS", _OURS, 'alertstate="firing"')
FIRING = or_none(f"count({_FIRING})")
"""Alerts of the rules that fire now."""

FIRING_FOR_S = f"time() - ({select('ALERTS_FOR_STATE', _OURS)} and ignoring (alertstate) {_FIRING})"
"""How long the condition of each firing alert has lasted."""

ANOMALY = "instance:nodewarden_signal:anomaly"
"""1 while a signal of a node is outside its usual band, otherwise 0."""

OUTSIDE = add(f"{select(ANOMALY)} and {select('instance:nodewarden_signal:upper')}")
"""Signals outside their usual band now; nothing where there are no bands, which is not well."""

RECENT = "15m"
"""Time over which the overview counts attacks: one that has just ended is still to be seen."""


def recent(metric: str, *matchers: str, by: str = "") -> str:
    """Return by how much a counter rose within the last quarter of an hour, summed over the nodes."""
    return during(metric, *matchers, by=by, window=RECENT)


LARGEST_FLOOD = most(over("max_over_time", "nodewarden_flood_attempts_per_second", window=RECENT))
"""Incomplete attempts per second of the largest flood on one node within the last quarter of an hour."""

_INCOMPLETE = recent("nodewarden_handshakes_incomplete_total")
HALF_OPEN = f"{_INCOMPLETE} / ({_INCOMPLETE} + {recent('nodewarden_handshakes_completed_total')})"
"""Share of the connection attempts of the last quarter of an hour that stayed incomplete; NaN without attempts."""

INTERNAL_SHARE = (
    f"{recent('nodewarden_internal_dropped_packets_total')} / {recent('nodewarden_set_dropped_packets_total')}"
)
"""Share of the packets dropped within the last quarter of an hour that came from internal networks; NaN without any."""

LAST_ATTACK_S = f"time() - {most(select('instance:nodewarden_attack:last_timestamp_seconds'))}"
"""Seconds since a flood, or since a signal was above its band."""

LOST_SOURCES = add(f"{select('nodewarden_source_wanted')} - {select('nodewarden_source_up')}")
"""Sources that something needs and that cannot be read."""

CONNTRACK_USE = f"{select('nodewarden_conntrack_entries')} / {select('nodewarden_conntrack_entries_limit')}"
"""Share of the connection table in use, by node."""

UNEXPLAINED = "NOT_SPECIFIED|unknown"
"""The reasons by which the kernel says nothing."""


def share(part: str, whole: str) -> str:
    """Return a part of a whole between 0 and 1; 0 while there is nothing at all."""
    return f"({part}) / ({whole} > 0) or 0 * {whole}"


def quantile(part: float, histogram: str, window: str = WINDOW) -> str:
    """Return the value below which this part of what a histogram saw lies; not a number where it saw nothing."""
    return f"histogram_quantile({part}, {during(f'{histogram}_bucket', by='le', window=window)}) or vector(NaN)"


EBPF_RUN_S = (
    f"{add(over('increase', 'nodewarden_ebpf_run_seconds_total', window='5m'))}"
    f" / {add(over('increase', 'nodewarden_ebpf_runs_total', window='5m'))}"
)
"""Seconds a run of our programs in the kernel; five minutes, because the kernel keeps count one second a minute."""
