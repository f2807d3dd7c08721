"""Who is closest to a threshold, and what happens on the node: what `nodewarden top` shows, as plain data."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model.addresses import Network
from monitor.model.bans import WORDS, Mode

_DROPPED = "nodewarden_kernel_dropped_packets_total"
_DROPPED_OF_PODS = "nodewarden_pod_dropped_packets_total"
_LAG = "nodewarden_source_lag_seconds"


def busiest(pipeline: Pipeline, limit: int) -> Iterator[list[dict[str, Any]]]:
    """Yield for each detector whom it counts most, at most `limit`: how much, of how much it takes, and in what status.

    `status` is `allowlisted`, the set that the network is in, or empty.
    """
    for detector in pipeline.counting:
        more = {
            "detector": detector.name,
            "mode": pipeline.policy.rules.detectors[detector.name].mode,
            "maxretry": detector.limits.maxretry,
        }
        yield [
            {"network": str(network), "count": count, "status": _status(pipeline, network)} | more
            for network, count in detector.busiest(limit)
        ]


def _status(pipeline: Pipeline, network: Network) -> str:
    if pipeline.guard.protects(network):
        return "allowlisted"
    return next((ban.word for ban in pipeline.ledger.covering(network) if ban.mode is Mode.ENFORCE), "")


def closest(sources: Iterable[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return those that are closest to their threshold, in order."""
    return sorted(sources, key=lambda one: one["count"] / one["maxretry"], reverse=True)[:limit]


def activity(pipeline: Pipeline, samples: Iterable[Sample]) -> dict[str, Any]:
    """Show drops by reason and by pod, the lag of sources, and bans by set."""
    dropped: Counter[str] = Counter()
    dropped_of_pods: Counter[str] = Counter()
    lag_s = {}
    for name, labels, value in samples:
        if name == _DROPPED:
            dropped[labels[0]] += int(value)
        elif name == _DROPPED_OF_PODS:
            dropped_of_pods["/".join(labels[:2])] += int(value)
        elif name == _LAG:
            lag_s[labels[0]] = value
    ledger = pipeline.ledger
    return {
        "dropped_packets": dropped,
        "pod_dropped_packets": dropped_of_pods,
        "lag_s": lag_s,
        "bans": {word: ledger.count(Mode.ENFORCE, strength) for strength, word in WORDS.items()},
    }
