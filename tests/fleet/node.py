"""A busy node's series over some hours, as OpenMetrics text: every metric of the catalogue, and what rules record."""

import itertools
import random
from collections.abc import Iterator, Sequence

from dashboards.aggregates import AGGREGATES, EDGE_RATIO, LEVEL, OUTSIDE, RATE, RISE, Aggregate
from monitor.daemon.catalogue import BY_NAME, METRICS, Kind
from monitor.metrics.metric import Metric
from tests.support.label_values import values

SCRAPE_S = 15
NODE = "node-000"
_SIGNAL_S = 60
_SCRAPED = {"cluster": "default", "job": "nodewarden", "instance": NODE}
_SIGNALS = ("bans", "alerts", "drops", "stopped", "flows", "conntrack")
_OF_SIGNALS = ("last2m", "lower", "upper", "anomaly", "band")
_FIRING = ("NodewardenFlood", "NodewardenAnomaly")
_OF_DROPS = {"direction": ("in",), "tunnelled": ("no",)}
"""Drops are counted by what occurs: most of them on the way in and outside of tunnels."""
_RISE_PER_SCRAPE = 5
_COURSES = 8
"""Different courses of values: a series takes one of them."""
_DROPPING_SHARE = 0.4
"""Of the recorded rates: reasons, sets and protocols of which there is something."""
_BUSY_SHARE = 0.05
"""Of the recorded rises: detectors and verdicts with events. All others have no series at that time."""


def metrics_text(begin_s: int, end_s: int) -> str:
    """Return what a node exports between two times, and the sums that rules record of it."""
    dice = random.Random(5)
    times = range(begin_s, end_s + 1, SCRAPE_S)
    counters = [_joined(times, itertools.accumulate(_rises(dice), initial=0)) for _ in range(_COURSES)]
    gauges = [_joined(times, _levels(dice)) for _ in range(_COURSES)]
    rises = _joined(times[::4], _rises(dice))
    found = [
        (series, dice.choice(gauges if metric.kind is Kind.GAUGE else counters))
        for metric in METRICS
        for series in _series(metric)
    ]
    found += [(f"{name}{{{_written({})}}}", gauges[0]) for name in ("up", "process_resident_memory_bytes")]
    found += [(f"process_{one}_fds{{{_written({})}}}", gauges[0]) for one in ("open", "max")]
    found += [(f"process_cpu_seconds_total{{{_written({})}}}", counters[0])]
    found += [(f"process_start_time_seconds{{{_written({})}}}", _joined(times, itertools.repeat(begin_s)))]
    for alert in _FIRING:
        labels = {"alertname": alert, "severity": "warning"}
        found += [(f"ALERTS{{{_written({**labels, 'alertstate': 'firing'})}}}", gauges[0])]
        found += [(f"ALERTS_FOR_STATE{{{_written(labels)}}}", gauges[0])]
    for one in AGGREGATES:
        for series in _recorded(one):
            if one.operation == LEVEL or (one.operation == RATE and dice.random() < _DROPPING_SHARE):
                found.append((series, dice.choice(gauges)))
            elif one.operation == RISE and dice.random() < _BUSY_SHARE:
                found.append((series, rises))
    return _text(found)


def signals_text(begin_s: int, end_s: int) -> str:
    """Return the watched signals with their bands between two times."""
    dice = random.Random(6)
    times = range(begin_s, end_s + 1, _SIGNAL_S)
    names = [f"instance:nodewarden_signal:{one}" for one in _OF_SIGNALS]
    calm = _joined(times, (float(dice.random() < _BUSY_SHARE / 10) for _ in itertools.count()))
    course = _joined(times, _levels(dice))
    found = [
        (f"{name}{{{_written({'signal': signal})}}}", calm if name.endswith("anomaly") else course)
        for signal, name in itertools.product(_SIGNALS, names)
    ]
    for signal, name in itertools.product(_SIGNALS[:1], (EDGE_RATIO, OUTSIDE)):
        found.append((f"{name}{{{_written({'signal': signal})}}}", course[::20]))
    attack = f"instance:nodewarden_attack:last_timestamp_seconds{{{_written({})}}}"
    return _text([*found, (attack, _joined(times, itertools.repeat(begin_s)))])


def _text(found: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [f"{series} {sample}" for series, course in found for sample in course]
    return "\n".join([*lines, "# EOF", ""])


def _levels(dice: random.Random) -> Iterator[float]:
    while True:
        yield dice.randrange(100) / 100


def _rises(dice: random.Random) -> Iterator[int]:
    while True:
        yield dice.randrange(_RISE_PER_SCRAPE)


def _joined(times: Sequence[int], course: Iterator[float]) -> list[str]:
    return [f"{value} {time_s}" for time_s, value in zip(times, course, strict=False)]


def _recorded(one: Aggregate) -> Iterator[str]:
    """Yield each series that a node has of a recorded sum."""
    metric = BY_NAME[one.counter.removesuffix("_bucket")]
    edges = tuple(map(str, metric.buckets))
    for chosen in itertools.product(*(edges if label == "le" else values(metric, label) for label in one.labels)):
        yield f"{one.name}{{{_written(dict(zip(one.labels, chosen, strict=True)))}}}"


def _series(metric: Metric) -> Iterator[str]:
    """Yield each series that a node has of a metric."""
    few = _OF_DROPS if metric.name.startswith("nodewarden_kernel_dropped_") else {}
    kinds = [few.get(label) or values(metric, label) for label in metric.labels]
    for chosen in itertools.product(*kinds):
        labels = dict(zip(metric.labels, chosen, strict=True))
        if metric.kind is Kind.HISTOGRAM:
            for edge in (*map(str, metric.buckets), "+Inf"):
                yield f"{metric.name}_bucket{{{_written({**labels, 'le': edge})}}}"
            yield f"{metric.name}_sum{{{_written(labels)}}}"
            yield f"{metric.name}_count{{{_written(labels)}}}"
        else:
            yield f"{metric.name}{{{_written(labels)}}}"


def _written(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in (_SCRAPED | labels).items())
