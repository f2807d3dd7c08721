"""What the kernel drops, by location or by pod, for a command: no part of the running daemon."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from monitor.ebpf.drop_locations import DropLocations
from monitor.ebpf.reasons import class_of
from monitor.model.pods import Pod
from monitor.node.pods import PodReader

_OWN_NETNS = Path("/proc/self/ns/net")
NODE, UNKNOWN = "the node itself", "not known"


def watch_drops(seconds: float, most: int) -> dict[str, Any]:
    """Count for so long; return plain data. NodewardenError says what is missing."""
    with DropLocations() as locations:
        time.sleep(seconds)
        places, released, lost = locations.read(most)
    return {
        "seconds": seconds,
        "places": [msgspec.to_builtins(place) for place in places],
        "released": msgspec.to_builtins(released),
        "uncounted_packets": lost,
    }


def watch_drops_by_pod(seconds: float, most: int) -> dict[str, Any]:
    """Count for so long, by whose network namespace drops; return plain data. NodewardenError: what is missing."""
    before = PodReader().read()
    with DropLocations() as locations:
        time.sleep(seconds)
        counted, lost = locations.read_by_namespace()
    after = PodReader().read()
    names = before.by_netns | after.by_netns  # also of pods that ended meanwhile
    return {
        "seconds": seconds,
        "pods": by_pod(counted, names, _OWN_NETNS.stat().st_ino)[:most],
        "uncounted_packets": lost,
        "notices": list(after.notices),
    }


def by_pod(counted: Mapping[tuple[int, str], int], names: Mapping[int, Pod], own_netns: int) -> list[dict[str, Any]]:
    """Return what was dropped by pod, most first, from packets by inode number and reason. Pure."""
    totals: dict[str, Counter[str]] = {}
    for (inode, reason), packets in counted.items():
        pod = names.get(inode)
        where = str(pod) if pod else NODE if inode == own_netns else f"namespace {inode}" if inode else UNKNOWN
        totals.setdefault(where, Counter())[reason] += packets
    ordered = sorted(totals.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    return [
        {
            "where": where,
            "is_pod": "/" in where,
            "packets": reasons.total(),
            "classes": _by_class(reasons),
            "reasons": dict(reasons.most_common()),
        }
        for where, reasons in ordered
    ]


def _by_class(reasons: Counter[str]) -> dict[str, int]:
    classes: Counter[str] = Counter()
    for reason, packets in reasons.items():
        classes[class_of(reason).value] += packets
    return dict(classes.most_common())
