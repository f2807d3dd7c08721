"""How one entry of the past reads: in `why` and in `history`."""

from collections.abc import Iterator
from typing import Any

from monitor.cli import show


def describe_past(past: dict[str, Any], network: str = "") -> Iterator[str]:
    """Yield the lines of one entry: what happened, then the log line or packet that counted last.

    `network` is named where the reader does not know it.
    """
    yield _what(past, network)
    if past.get("last"):
        yield f"  last: {past['last']}"


def _what(past: dict[str, Any], network: str) -> str:
    text = f"{show.moment(past['time_s'])} {past['what']}"
    if network:
        text += f" {network}"
    if "detector" in past:
        text += f" by {past['detector']}"
    if "bantime_s" in past:
        text += f" for {show.duration(past['bantime_s'])}"
        if past["step"]:
            text += f" (escalation step {past['step']})"
    if "counted" in past:
        span_s = past["last_s"] - past["first_s"]
        text += (
            f": {past['count']} {past['counted']} within {span_s:.1f} s "
            f"(fires at {past['maxretry']} within {show.duration(past['findtime_s'])})"
        )
        if past["sample"]:
            text += f": {', '.join(past['sample'])}"
        if past.get("doubt"):
            text += f"; in doubt: {past['doubt']}"
    elif past.get("reason"):
        text += f": {past['reason']}"
    return text
