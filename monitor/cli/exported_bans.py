"""What `nodewarden export` writes for those who enforce elsewhere: pure functions of networks, and of what changed."""

import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

BLACKHOLE = "65535:666"
"""The well-known community BLACKHOLE (RFC 7999)."""
SELF = "self"
"""The next hop is what ExaBGP uses for itself in the session."""
_MOST_NAME = 63
_LABELS = {"app.kubernetes.io/managed-by": "nodewarden", "nodewarden/list": "banned"}
"""By these a policy selects the lists of all nodes."""


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What the notations need to know."""

    name: str
    """The name of the object in the cluster."""
    next_hops: Mapping[int, str] = msgspec.field(default_factory=lambda: {4: SELF, 6: SELF})
    """By IP version. A network of a version without one has no route: a peer may end the session for a wrong one."""
    community: str = BLACKHOLE


Change = Callable[[Elsewhere, Sequence[str], Sequence[str], Sequence[str]], Iterable[str]]
"""Takes all networks, those that are new, and those that are gone; returns lines."""


def object_name(host: str = "") -> str:
    """Return a name for this node's object, as Kubernetes allows it (RFC 1123)."""
    word = re.sub(r"[^a-z0-9]+", "-", (host or socket.gethostname()).partition(".")[0].lower()).strip("-")
    return f"nodewarden-{word or 'node'}"[:_MOST_NAME].rstrip("-")


def prefix(network: str) -> str:
    """Return a network with its length: addresses have none."""
    return network if "/" in network else f"{network}/{128 if _version(network) == 6 else 32}"


def changes(_: Elsewhere, __: Sequence[str], new: Sequence[str], gone: Sequence[str]) -> Iterator[str]:
    """Write `del NETWORK` and `add NETWORK`."""
    yield from (f"del {network}" for network in gone)
    yield from (f"add {network}" for network in new)


def exabgp(elsewhere: Elsewhere, _: Sequence[str], new: Sequence[str], gone: Sequence[str]) -> Iterator[str]:
    """Write commands of ExaBGP's text API (https://github.com/Exa-Networks/exabgp/wiki/Text-API-Reference)."""
    yield from (f"withdraw {route}" for route in _routes(elsewhere, gone))
    yield from (f"announce {route} community [{elsewhere.community}]" for route in _routes(elsewhere, new))


def _routes(elsewhere: Elsewhere, networks: Sequence[str]) -> Iterator[str]:
    for network in networks:
        if hop := elsewhere.next_hops.get(_version(network)):
            yield f"route {network} next-hop {hop}"


def next_hops(given: Sequence[str]) -> dict[int, str]:
    """Return next hops by IP version; `self` stands for the versions without an address."""
    hops = dict.fromkeys((4, 6), SELF) if SELF in given else {}
    return hops | {_version(one): one for one in given if one != SELF}


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def cilium(elsewhere: Elsewhere, networks: Sequence[str], _: Sequence[str], __: Sequence[str]) -> Iterator[str]:
    """Write a CiliumCIDRGroup (https://docs.cilium.io/en/stable/network/kubernetes/ciliumcidrgroup/)."""
    yield _manifest("cilium.io/v2alpha1", "CiliumCIDRGroup", elsewhere, {"externalCIDRs": list(networks)})


def calico(elsewhere: Elsewhere, networks: Sequence[str], _: Sequence[str], __: Sequence[str]) -> Iterator[str]:
    """Write a GlobalNetworkSet (https://docs.tigera.io/calico/latest/reference/resources/globalnetworkset)."""
    yield _manifest("projectcalico.org/v3", "GlobalNetworkSet", elsewhere, {"nets": list(networks)})


def _manifest(version: str, kind: str, elsewhere: Elsewhere, spec: dict[str, Any]) -> str:
    """Write an object as JSON in one line, so that a shell can read one after the other."""
    metadata = {"name": elsewhere.name, "labels": _LABELS}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


NOTATIONS: dict[str, Change] = {"changes": changes, "exabgp": exabgp, "cilium": cilium, "calico": calico}
WHOLE = (cilium, calico)
"""They name all networks each time."""


def as_nft(bans: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield lines for `nft -f`, one per set, with the set names of nodewarden's own table."""
    by_set: dict[str, list[str]] = {}
    for ban in bans:
        network = ban["network"]
        name = f"{ban['set']}{'6' if ':' in network else '4'}{'_nets' if '/' in network else ''}"
        by_set.setdefault(name, []).append(f"{network} timeout {max(1, int(ban['left_s']))}s")
    for name, elements in sorted(by_set.items()):
        yield f"add element inet nodewarden {name} {{ {', '.join(elements)} }}"


class Followed:
    """The bans in force, followed by events between one list and the next."""

    def __init__(self, word: str, most: int) -> None:
        """Follow bans of one set, and write at most `most`: the newest."""
        self._word = word
        self._most = most
        self._since_s: dict[str, float] = {}
        self._written: dict[str, None] | None = None
        self._is_changed = True
        self.left_out = 0
        """Bans that were not written, because there are more than may be."""

    def restart(self, bans: Iterable[dict[str, Any]]) -> None:
        """Take a list of all bans."""
        self._since_s = {prefix(ban["network"]): ban["since_s"] for ban in bans if self._counts(ban)}
        self._is_changed = True

    def take(self, event: dict[str, Any]) -> None:
        """Take an event of `nodewarden events`."""
        if not self._counts(event):
            return
        self._is_changed = True
        network = prefix(event["network"])
        if event["event"] in {"ban", "refresh", "claim"}:
            self._since_s.setdefault(network, event["since_s"])
        elif event["event"] == "end" and event["remaining_until_s"] is None:
            self._since_s.pop(network, None)

    def lines(self, change: Change, elsewhere: Elsewhere) -> list[str]:
        """Write what changed since the last call; nothing if nothing did."""
        if not self._is_changed:
            return []
        self._is_changed = False
        chosen = sorted(self._since_s, key=self._since_s.__getitem__, reverse=True)[: self._most]
        self.left_out = len(self._since_s) - len(chosen)
        now = dict.fromkeys(sorted(chosen))
        before = self._written
        self._written = now
        if before is not None and before.keys() == now.keys():
            return []
        known = before or {}
        new = [network for network in now if network not in known]
        gone = [network for network in known if network not in now]
        return list(change(elsewhere, list(now), new, gone))

    def _counts(self, ban: dict[str, Any]) -> bool:
        """Whether it is a ban of the set that is followed, in force for all ports."""
        return ban.get("set") == self._word and ban.get("mode") == "enforce" and not ban.get("ports")
