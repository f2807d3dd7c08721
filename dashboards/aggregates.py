"""Sums that Prometheus records for each node, so that a board of 500 nodes opens within a second.

A node has some 1,500 series, and a panel over all nodes would read those of one counter 500 times at each step. The
rules record what panels ask for, per node and only by the labels that are shown; `queries.py` takes a recorded sum in
place of the counter wherever there is one. There are three kinds:

- `rate2m`: how fast a counter rises, per second, and nothing while it does not;
- `increase15s`: by how much it rose since the last evaluation, and nothing where it did not. Each event is in one
  sample only, so that counts over any time are whole numbers and agree with what the daemon counted. A counter that
  starts again at 0 costs the events of one interval;
- `sum`: a gauge.

Levels are named by their labels, as in `level:metric:operations`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SCRAPED = ("cluster", "job", "instance")
INTERVAL_S = 15
INTERVAL = f"{INTERVAL_S}s"
RATE, RISE, LEVEL = "rate2m", "increase15s", "sum"
_ALL = "_total"


@dataclass(frozen=True)
class Aggregate:
    """A recorded sum of a counter or gauge of each node: by which labels, and what of it."""

    counter: str
    operation: str
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What Prometheus records it as."""
        level = "_".join(("instance", *self.labels))
        return f"{level}:{self.counter.removesuffix(_ALL)}:{self.operation}"

    @property
    def expression(self) -> str:
        """How Prometheus computes it."""
        by = ", ".join((*SCRAPED, *self.labels))
        if self.operation == RATE:
            return f"sum by ({by}) (rate({self.counter}[2m])) > 0"
        if self.operation == LEVEL:
            return f"sum by ({by}) ({self.counter})"
        return f"sum by ({by}) ({self.counter} - {self.counter} offset {INTERVAL} > 0)"


_DROPS = ("nodewarden_kernel_dropped_packets_total", "nodewarden_kernel_dropped_bytes_total")
_SETS = (
    *("nodewarden_set_dropped_packets_total", "nodewarden_set_dropped_bytes_total"),
    *("nodewarden_xdp_dropped_packets_total", "nodewarden_xdp_dropped_bytes_total"),
)
_FLOWS = "nodewarden_flows_total"
_EVENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): (
        *("nodewarden_ban_failures_total", "nodewarden_xdp_missing_bans_total"),
        *("nodewarden_connections_cut_total", "nodewarden_connections_cut_incomplete_total"),
        *("nodewarden_egress_uncovered_flows_total", "nodewarden_fleet_published_total"),
        *("nodewarden_fleet_adopted_total", "nodewarden_fleet_withdrawn_total"),
        "nodewarden_crowdsec_push_dropped_total",
    ),
    ("action",): ("nodewarden_crowdsec_pushed_total",),
    ("approved",): ("nodewarden_egress_flows_total",),
    ("cause",): (
        *("nodewarden_bans_ended_total", "nodewarden_fleet_refused_total"),
        "nodewarden_crowdsec_failures_total",
    ),
    ("detector",): (
        *("nodewarden_detector_floods_total", "nodewarden_detector_agreements_total", "nodewarden_shadow_alerts_total"),
        *("nodewarden_detector_evicted_keys_total", "nodewarden_detector_missed_keys_total"),
        *("nodewarden_detector_ignored_networks_total", "nodewarden_filter_evicted_total"),
        *("nodewarden_filter_ignored_total", "nodewarden_filter_misdated_total", "nodewarden_filter_outdated_total"),
        *("nodewarden_filter_skipped_total", "nodewarden_filter_stale_total", "nodewarden_filter_timeouts_total"),
        "nodewarden_filter_unusable_total",
    ),
    ("detector", "found_by"): ("nodewarden_shadow_sources_total",),
    ("detector", "mode", "strength"): ("nodewarden_detector_alerts_total",),
    ("detector", "verdict"): ("nodewarden_decisions_total",),
    ("hook",): ("nodewarden_leaked_packets_total",),
    ("kind",): ("nodewarden_table_drift_total",),
    ("le",): ("nodewarden_ban_latency_seconds_bucket",),
    ("listener",): ("nodewarden_listener_errors_total",),
    ("outcome",): ("nodewarden_crowdsec_pulled_total",),
    ("result",): ("nodewarden_config_reloads_total",),
    ("sign",): ("nodewarden_harm_signs_total",),
    ("source",): (
        *("nodewarden_source_lost_records_total", "nodewarden_source_suppressed_records_total"),
        *("nodewarden_source_overruns_total", "nodewarden_source_resyncs_total"),
        "nodewarden_source_truncations_total",
    ),
    ("source", "cause"): ("nodewarden_source_malformed_records_total",),
    ("strength",): ("nodewarden_observed_evicted_total",),
}
"""Counters of what happens now and then, by the labels that are shown."""

AGGREGATES = (
    Aggregate("nodewarden_bans", LEVEL, ("mode", "strength")),
    *(Aggregate(counter, RISE, labels) for labels, counters in _EVENTS.items() for counter in counters),
    Aggregate("nodewarden_conntrack_table_total", RATE, ("event",)),
    Aggregate("nodewarden_egress_flows_total", RATE, ("approved",)),
    Aggregate("nodewarden_egress_uncovered_flows_total", RATE),
    Aggregate("nodewarden_events_total", RATE, ("kind",)),
    Aggregate("nodewarden_source_records_total", RATE, ("source",)),
    Aggregate("nodewarden_kernel_released_buffers_total", RATE, ("fate",)),
    Aggregate(_DROPS[0], RATE),
    *(Aggregate(counter, RATE, ("reason",)) for counter in _DROPS),
    Aggregate(_DROPS[0], RATE, ("direction", "family")),
    Aggregate(_DROPS[0], RATE, ("foreign", "tunnelled")),
    *(Aggregate(counter, RATE) for counter in _SETS),
    Aggregate(_SETS[0], RATE, ("set",)),
    Aggregate("nodewarden_list_hits_total", RATE, ("list",)),
    *(Aggregate(f"nodewarden_flow_{what}_total", RATE, ("direction",)) for what in ("packets", "bytes")),
    *(Aggregate(_FLOWS, RATE, labels) for labels in (("event",), ("event", "direction"), ("event", "protocol"))),
)

EDGE_RATIO = "instance:nodewarden_signal:edge_ratio"
"""A signal as a multiple of the upper edge of its band, from half of it on."""
OUTSIDE = "instance:nodewarden_signal:outside"
"""1 while a signal is outside of its band; otherwise there is no series."""
DOWN = "instance:nodewarden_up:zero"
"""0 while a guard does not respond; otherwise there is no series."""
NEAR = "instance_detector:nodewarden_detector_busiest_ratio:near"
"""How close the busiest source came to a threshold, from a fifth of it on."""
FLOODS = "instance:nodewarden_flood_attempts_per_second:max"
"""Size of a flood while it lasts."""
PROBLEMS = "instance_kind:nodewarden_problem:max"
"""1 for each kind of problem that there is."""
OTHERS = {
    PROBLEMS: "max by (cluster, job, instance, kind) (nodewarden_problem) > 0",
    FLOODS: "max by (cluster, job, instance) (nodewarden_flood_attempts_per_second) > 0",
    NEAR: "max by (cluster, job, instance, detector) (nodewarden_detector_busiest_ratio >= 0.2)",
    EDGE_RATIO: "instance:nodewarden_signal:last2m / (instance:nodewarden_signal:upper > 0) > 0.5",
    OUTSIDE: "instance:nodewarden_signal:anomaly == 1",
    DOWN: 'up{job="nodewarden"} == 0',
}


def smallest(counter: str, operation: str, labels: frozenset[str]) -> Aggregate | None:
    """Return the recorded sum with the fewest series that has these labels; None if there is none."""
    fitting = [one for one in AGGREGATES if (one.counter, one.operation) == (counter, operation)]
    fitting = [one for one in fitting if labels <= {*one.labels, *SCRAPED}]
    return min(fitting, key=lambda one: len(one.labels), default=None)


def rules_text() -> str:
    """Return the file of rules for Prometheus."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Made by `make dashboards` from dashboards/aggregates.py: sums for each node that the dashboards show."
    yield "groups:"
    yield "  - name: nodewarden_aggregates"
    yield f"    interval: {INTERVAL}"
    yield "    rules:"
    for name, expression in (*((one.name, one.expression) for one in AGGREGATES), *OTHERS.items()):
        yield f"      - record: {name}"
        yield f"        expr: {expression}"
