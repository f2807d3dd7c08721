"""One busy node's series over some hours, as OpenMetrics text: every metric of the catalogue with every label value."""

import itertools
import random
from collections.abc import Iterator, Sequence

from monitor.daemon.catalogue import METRICS, Kind
from monitor.metrics.metric import Metric
from tests.support.label_values import values

SCRAPE_S = 15
NODE = "node-000"
_SCRAPED = {"cluster": "default", "job": "nodewarden", "instance": NODE}
_SIGNALS = ("bans", "alerts", "drops", "stopped", "flows", "conntrack")
_OF_SIGNALS = ("last2m", "lower", "upper", "anomaly", "band")
_FIRING = ("NodewardenFlood", "NodewardenAnomaly")
_OF_DROPS = {"direction": ("in",), "tunnelled": ("no",)}
"""Drops are counted by what occurs: most of them on the way in and outside of tunnels."""
_RISE_PER_SCRAPE = 5
_LEAST_SAMPLES = 8
"""Different courses of values: a series takes one of them."""


def text(begin_s: int, end_s: int, signals_begin_s: int) -> str:
    """Return samples of everything between two times, and of the watched signals from an earlier time on."""
    dice = random.Random(5)
    times = range(begin_s, end_s + 1, SCRAPE_S)
    counters = [_joined(times, itertools.accumulate(_rises(dice), initial=0)) for _ in range(_LEAST_SAMPLES)]
    gauges = [_joined(times, (dice.randrange(100) / 100 for _ in itertools.count())) for _ in range(_LEAST_SAMPLES)]
    lines: list[str] = []
    for metric in METRICS:
        for name, labels in _series(metric):
            course = dice.choice(gauges if metric.kind is Kind.GAUGE else counters)
            lines += [f"{name}{{{labels}}} {sample}" for sample in course]
    for name in ("up", "process_resident_memory_bytes", "process_start_time_seconds"):
        lines += [f"{name}{{{_written({})}}} {sample}" for sample in dice.choice(gauges)]
    lines += [f"process_cpu_seconds_total{{{_written({})}}} {sample}" for sample in counters[0]]
    lines += [f"process_{one}_fds{{{_written({})}}} {sample}" for one in ("open", "max") for sample in gauges[0]]
    for alert in _FIRING:
        labels = _written({"alertname": alert, "severity": "warning"})
        lines += [f'ALERTS{{alertstate="firing",{labels}}} {sample}' for sample in gauges[0]]
        lines += [f"ALERTS_FOR_STATE{{{labels}}} {sample}" for sample in gauges[0]]
    times = range(signals_begin_s, end_s + 1, SCRAPE_S)
    course = _joined(times, (dice.randrange(100) / 100 for _ in itertools.count()))
    for signal, operation in itertools.product(_SIGNALS, _OF_SIGNALS):
        name = f"instance:nodewarden_signal:{operation}"
        lines += [f"{name}{{{_written({'signal': signal})}}} {sample}" for sample in course]
    lines += [f"instance:nodewarden_attack:last_timestamp_seconds{{{_written({})}}} {sample}" for sample in course]
    return "\n".join([*lines, "# EOF", ""])


def _rises(dice: random.Random) -> Iterator[int]:
    while True:
        yield dice.randrange(_RISE_PER_SCRAPE)


def _joined(times: Sequence[int], course: Iterator[float]) -> list[str]:
    return [f"{value} {time_s}" for time_s, value in zip(times, course, strict=False)]


def _series(metric: Metric) -> Iterator[tuple[str, str]]:
    """Yield name and labels of each series that a node has of a metric."""
    dropped = metric.name.startswith("nodewarden_kernel_dropped_")
    kinds = [
        _OF_DROPS.get(label) or values(metric, label) if dropped else values(metric, label) for label in metric.labels
    ]
    for chosen in itertools.product(*kinds):
        labels = dict(zip(metric.labels, chosen, strict=True))
        if metric.kind is Kind.HISTOGRAM:
            for edge in (*map(str, metric.buckets), "+Inf"):
                yield f"{metric.name}_bucket", _written({**labels, "le": edge})
            yield f"{metric.name}_sum", _written(labels)
            yield f"{metric.name}_count", _written(labels)
        else:
            yield metric.name, _written(labels)


def _written(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in (_SCRAPED | labels).items())
