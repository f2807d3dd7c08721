"""What this node says of itself: digests tell who differs from whom, and nothing of it is a secret."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from monitor.config.shapes import group_of, plain
from monitor.fleet.records import MAX_HELLO_BYTES, Hello, encode
from monitor.model.bans import AllowEntry
from monitor.model.printable import printable
from monitor.settings.schema import Settings

_OF_THE_NODE = {
    "fleet": ("node", "role", "url", "username", "password_file", "ca_file", "cert_file", "key_file"),
    "metrics": ("listen", "web_config_file"),
    "control": ("socket", "group"),
    "state": ("directory",),
    "bans": ("allowlist", "presets"),  # these have a digest of their own
}
"""By section, what nodes of one fleet rightly have different."""
_MAX_SHOWN = 32
_MAX_REASON = 40
_encode = msgspec.json.Encoder(order="sorted").encode


def configuration_digest(settings: Settings) -> str:
    """Return what is the same on all nodes that are configured alike."""
    document: dict[str, Any] = plain(group_of(Settings), settings)
    for section, names in _OF_THE_NODE.items():
        for name in names:
            document.get(section, {}).pop(name, None)
    return _digest(document)


def allowlist_digest(entries: Iterable[AllowEntry]) -> str:
    """Return what is the same on all nodes whose operators allow the same; the reasons do not matter."""
    return _digest(sorted({str(entry.network) for entry in entries}))


def shown_entries(entries: Sequence[AllowEntry]) -> dict[str, str]:
    """Return the first entries, for `fleet diff`."""
    named = sorted((str(entry.network), printable(entry.reason)[:_MAX_REASON]) for entry in entries)
    return dict(named[:_MAX_SHOWN])


def fitting(hello: Hello) -> bytes:
    """Return a hello as bytes, with as many entries of the allowlist as there is room for."""
    allowed = list(hello.allowed.items())
    while len(data := encode(msgspec.structs.replace(hello, allowed=dict(allowed)))) > MAX_HELLO_BYTES and allowed:
        allowed = allowed[: len(allowed) // 2]
    return data


def _digest(what: object) -> str:
    return hashlib.sha256(_encode(what)).hexdigest()[:16]
