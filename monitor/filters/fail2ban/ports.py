"""The ports that a jail's bans are limited to, in the notation of `detectors.NAME.ports`."""

import re
from collections.abc import Collection

from monitor.config.service_names import service_port

MAX_PORTS = 64
"""The most ports of one ban here."""
EVERYTHING = frozenset({"", "0:65535", "1:65535", "all", "any"})
_PORTS = re.compile(r"([0-9]{1,5})(?:[:-]([0-9]{1,5}))?")
_LAST = 65_535


def read_ports(texts: Collection[str], protocols: Collection[str]) -> tuple[str, ...]:
    """Return ports such as `tcp/22` or `udp/5060-5061`; none if there are too many, or if one is not known here.

    `texts` are values of `port`: numbers, ranges and services, separated by commas. Both protocols are written as none.
    """
    if not protocols or not set(protocols) <= {"tcp", "udp"}:
        return ()
    prefix = f"{next(iter(protocols))}/" if len(set(protocols)) == 1 else ""
    found: dict[str, int] = {}
    for word in (word for text in texts for word in re.split(r"[\s,]+", text) if word):
        limits = _limits(word, protocols)
        if limits is None:
            return ()
        first, last = limits
        found[f"{prefix}{first}" + (f"-{last}" if last > first else "")] = last - first + 1
    return tuple(found) if sum(found.values()) * len(set(protocols)) <= MAX_PORTS else ()


def _limits(word: str, protocols: Collection[str]) -> tuple[int, int] | None:
    """Return the first and the last port of a word; None if it is not known."""
    if match := _PORTS.fullmatch(word):
        first, last = int(match[1]), int(match[2] or match[1])
        return (first, last) if 1 <= first <= last <= _LAST else None
    for protocol in sorted(protocols):
        if port := service_port(word, protocol):
            return port, port
    return None
