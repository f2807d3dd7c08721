"""Where the kernel drops packets, for a command: no part of the running daemon."""

import time
from typing import Any

import msgspec

from monitor.ebpf.drop_locations import DropLocations


def watch_drops(seconds: float, most: int) -> dict[str, Any]:
    """Count for so long; return plain data. NodewardenError says what is missing."""
    with DropLocations() as locations:
        time.sleep(seconds)
        places, lost = locations.read(most)
    return {
        "seconds": seconds,
        "places": [msgspec.to_builtins(place) for place in places],
        "uncounted_packets": lost,
    }
