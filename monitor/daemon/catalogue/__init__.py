"""Every metric there is: the exporter and docs/metrics.md are made from this list, nothing else creates one."""

from monitor.daemon.catalogue import bans, daemon, detectors, ebpf, flows, sources
from monitor.daemon.catalogue.bans import BAN_LATENCY
from monitor.metrics.metric import Kind, Metric

__all__ = ["BAN_LATENCY", "BY_NAME", "METRICS", "SECTIONS", "Kind", "Metric"]

SECTIONS = {module.__doc__ or "": module.METRICS for module in (sources, flows, ebpf, detectors, bans, daemon)}
"""The metrics by area, each with a sentence on it."""

METRICS = tuple(metric for metrics in SECTIONS.values() for metric in metrics)

BY_NAME = {metric.name: metric for metric in METRICS}
