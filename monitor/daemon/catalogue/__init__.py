"""Every metric there is: the exporter and docs/metrics.md are made from this list, nothing else creates one."""

from collections.abc import Iterator

from monitor.daemon.catalogue import audit, bans, crowdsec, daemon, detectors, fleet, flows, lists, notify
from monitor.daemon.catalogue.bans import BAN_LATENCY
from monitor.daemon.sources.registrations import SOURCES
from monitor.metrics.metric import Kind, Metric
from monitor.sources import metrics as sources
from monitor.sources import program_metrics as programs

__all__ = ["BAN_LATENCY", "BY_NAME", "METRICS", "SECTIONS", "Kind", "Metric"]


def _sections() -> Iterator[tuple[str, tuple[Metric, ...]]]:
    yield sources.__doc__ or "", sources.METRICS
    for row in SOURCES:
        yield f"Source `{row.source.name}`: {row.source.description}", row.source.metrics
    for module in (programs, flows, detectors, bans, lists, notify, crowdsec, daemon, fleet, audit):
        yield module.__doc__ or "", module.METRICS


SECTIONS = dict(_sections())
"""The metrics by area, each with a heading."""

METRICS = tuple(metric for metrics in SECTIONS.values() for metric in metrics)

BY_NAME = {metric.name: metric for metric in METRICS}
