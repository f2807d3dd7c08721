"""What the daemon's log says of a decision, an end or a flood, for machines: texts by name. Pure.

All lines have the same fields, empty where there is nothing to say, so that a query needs no case for each. What
attackers may have chosen is escaped and cut to `MAX_CHARS`. docs/events.md documents them.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from monitor.bans.decision import Decision, Ended
from monitor.model.addresses import Address, Network, format_address
from monitor.model.alerts import UNKNOWN_PARTY, Alert, FloodAlert, Party, Strength
from monitor.model.bans import Ban
from monitor.model.ports import show
from monitor.model.printable import printable

Fields = dict[str, str]
PodOf = Callable[[Address], str | None]
"""Returns `NAMESPACE/POD` of an address; None if it is no pod's."""

MAX_CHARS = 1000
NAMES = (
    "event",
    "verdict",
    "network",
    "ports",
    "detector",
    "strength",
    "mode",
    "origin",
    "reason",
    "count",
    "service",
    "destination",
    "pod",
    "ends",
    "cause",
    "decisions",
    "networks",
    "node",
)
"""All fields, in the order in which they are written."""
_YEAR_9999_S = 253_402_300_799.0


def no_pods(address: Address) -> str | None:
    """Know no pod."""
    del address
    return None


class Place(NamedTuple):
    """The node that writes, and how it knows pods."""

    node: str = ""
    pod_of: PodOf = no_pods

    def pod(self, party: Party) -> str:
        """Return the pod on our side; empty if there is none, or none that is known."""
        return party.pod or (self.pod_of(party.address) if party.address else None) or ""


class Kind(NamedTuple):
    """What was done: the fields that all lines of a burst share."""

    event: str
    verdict: str
    detector: str
    strength: str
    mode: str
    origin: str
    cause: str = ""


class Member(NamedTuple):
    """To whom it was done, and why; `destination` is where what counted last was sent to, empty if unknown."""

    network: Network
    ours: Party
    destination: Address
    reason: str


def kind_of(decision: Decision) -> Kind:
    """Return what a decision did."""
    claim = decision.ban or decision.claim or decision.wish
    verdict = str(decision.verdict)  # quicker than `value`, and asked for each decision of a burst
    if claim is None:
        strength = decision.alert.strength.value if decision.alert else ""
        return Kind(verdict, verdict, decision.detector, strength, "", "")
    return Kind(verdict, verdict, decision.detector, str(claim.strength), str(claim.mode), str(claim.origin))


def kind_of_end(ended: Ended) -> Kind:
    """Return how a ban ended."""
    ban = ended.ban
    return Kind("end", "", ban.detector, ban.strength.value, ban.mode.value, ban.origin.value, ended.cause.value)


def member_of(decision: Decision, reason: str) -> Member:
    """Return whom a decision is about."""
    network = decision.ban.network if decision.ban else decision.network
    alert = decision.alert
    return Member(network, alert.ours if alert else UNKNOWN_PARTY, attacked(alert) if alert else b"", reason)


def attacked(alert: Alert) -> Address:
    """Return where what counted last was sent to; empty if that is unknown."""
    if alert.strength is Strength.DESTINATION:
        return alert.source
    return b"" if alert.ours.address == alert.source else alert.ours.address


def of_one(kind: Kind, member: Member, place: Place, alert: Alert | None = None, ban: Ban | None = None) -> Fields:
    """Return the fields of one decision, by an alert if it is; `ban` says when it ends."""
    return _complete(
        place,
        kind,
        [member],
        network=str(member.network),
        ports=" ".join(show(member.network.ports)),
        count=str(alert.evidence.count) if alert else "",
        ends=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(ban.until_s, _YEAR_9999_S))) if ban else "",
    )


def of_burst(kind: Kind, members: Sequence[Member], place: Place) -> Fields:
    """Return the fields of many decisions of one kind; what they have in common besides is named, too."""
    return _complete(place, kind, members, networks=" ".join(str(member.network) for member in members))


def of_flood(alert: FloodAlert, place: Place) -> Fields:
    """Return the fields of a flood: no network is named, since its sources are forged."""
    kind = Kind("flood", "", alert.detector, Strength.SPOOFABLE.value, "", "")
    return _shown(
        {
            **kind._asdict(),
            "reason": str(alert),
            "count": str(alert.evidence.count),
            **_of_party(alert.ours, alert.ours.address, place),
            "node": place.node,
        }
    )


def bounded(text: str) -> str:
    """Return text of others for a field: printable, at most `MAX_CHARS` long."""
    shown = printable(text)
    return shown if len(shown) <= MAX_CHARS else f"{shown[: MAX_CHARS - 1]}…"


def _complete(place: Place, kind: Kind, members: Sequence[Member], *, networks: str = "", **own: str) -> Fields:
    parties = [_of_party(member.ours, member.destination, place) | {"reason": member.reason} for member in members]
    first, *others = parties
    common = {name: text for name, text in first.items() if all(one[name] == text for one in others)}
    texts = {**kind._asdict(), **common, **own, "decisions": str(len(members)), "node": place.node}
    return _shown(texts) | {"networks": networks}  # ours, and as long as it must be


def _of_party(party: Party, destination: Address, place: Place) -> Fields:
    return {
        "service": party.service,
        "destination": format_address(destination) if destination else "",
        "pod": place.pod(party),
    }


def _shown(texts: Fields) -> Fields:
    return {name: bounded(texts.get(name, "")) for name in NAMES}
