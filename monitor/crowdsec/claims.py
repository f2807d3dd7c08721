"""Which claim a decision of LAPI becomes here, or why it becomes none. Pure."""

import enum
import ipaddress
import sys

import msgspec

from monitor.crowdsec.answer import WireDecision
from monitor.crowdsec.durations import parse_duration_s
from monitor.crowdsec.errors import shortened
from monitor.crowdsec.settings import PREFIX, CrowdsecSettings, ScenarioSet
from monitor.model.addresses import Network, host, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import CROWDSEC, ClaimOrigin, ban_key

DETECTED = CROWDSEC
"""The name of claims on what CrowdSec, its operators and other nodes decided themselves."""
_LISTS = {one.lower(): PREFIX + one for one in ("CAPI", "lists", "cscli-import")}
_PEOPLE = ("cscli", "cscli-import")
"""Origins of what people ordered."""
_OURS = "nodewarden/"
"""With what the scenarios begin that nodes push; they push only what is proven."""
_MAX_REASON = 128


class Outcome(enum.StrEnum):
    """What became of a decision that LAPI sent: a closed set, a metric label."""

    TAKEN = "taken"
    ALLOWLISTED = "allowlisted"
    """The guard protects the address."""
    FULL = "full"
    """There is no room in the ban sets."""
    REFUSED = "refused"
    """The kernel refused the ban."""
    SURPLUS = "surplus"
    """LAPI has more decisions than `max_decisions`."""
    MALFORMED = "malformed"
    TYPE = "type"
    """It is no ban: `captcha`, `throttle`."""
    SCOPE = "scope"
    """It is not about an address or a range: a country, a user."""
    ORIGIN = "origin"
    """Its origin is not one of `origins`."""
    OWN = "own"
    """This node pushed it."""
    WIDE = "wide"
    """Its prefix is shorter than allowed."""
    UNUSABLE = "unusable"
    """Nobody outside has such an address: loopback, multicast, reserved."""
    EXPIRED = "expired"
    """It is over."""


class Unwanted(Exception):  # noqa: N818 - it is counted, not reported
    """A decision becomes no claim here."""

    def __init__(self, outcome: Outcome) -> None:
        """`outcome` says why."""
        super().__init__(outcome)
        self.outcome = outcome


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What is to be claimed because of a decision. `until_s` is monotonic: a clock that is set changes nothing."""

    key: bytes
    """Network and strength, as `ban_key`."""
    name: str
    until_s: float
    reason: str


class Reader:
    """Turns decisions into claims, by the settings."""

    def __init__(self, settings: CrowdsecSettings) -> None:
        """Take the settings of this node."""
        self._settings = settings
        self._origins = frozenset(one.lower() for one in settings.origins)
        self._own = own_scenarios(settings.machine) if settings.machine else ""
        self._scenarios = Strength.PROVEN if settings.set is ScenarioSet.BAN else Strength.SPOOFABLE

    def claim(self, decision: WireDecision, now_s: float) -> Claim:
        """Return the claim of a decision that arrived at `now_s` (monotonic); Unwanted says why there is none."""
        origin = decision.origin.lower()
        if origin not in self._origins:
            raise Unwanted(Outcome.ORIGIN)
        if self._own and decision.scenario.startswith(self._own):
            raise Unwanted(Outcome.OWN)
        if decision.type.lower() != "ban":
            raise Unwanted(Outcome.TYPE)
        network = self._network(decision.scope.lower(), decision.value)
        try:
            left_s = parse_duration_s(decision.duration)
        except ValueError:
            raise Unwanted(Outcome.MALFORMED) from None
        if left_s <= 0:
            raise Unwanted(Outcome.EXPIRED)
        is_certain = origin in _PEOPLE or decision.scenario.startswith(_OURS)
        strength = Strength.PROVEN if is_certain else self._scenarios
        text = shortened(f"{decision.scenario or 'no reason given'} ({decision.origin})")[:_MAX_REASON]
        return Claim(ban_key(network, strength), claim_name(origin), now_s + left_s, sys.intern(text))

    def _network(self, scope: str, value: str) -> Network:
        if scope not in ("ip", "range"):
            raise Unwanted(Outcome.SCOPE)
        try:
            network = parse_network(value) if "/" in value else host(parse_address(value))
        except ValueError:
            raise Unwanted(Outcome.MALFORMED) from None
        settings = self._settings
        if network.prefix_length < (settings.widest_ipv4 if network.bits == 32 else settings.widest_ipv6):
            raise Unwanted(Outcome.WIDE)
        if _is_unusable(network):
            raise Unwanted(Outcome.UNUSABLE)
        return network


def claim_name(origin: str) -> str:
    """Return the name of the claims on decisions of an origin, which is in lower case."""
    return _LISTS.get(origin, DETECTED)


def claim_origin(name: str) -> ClaimOrigin:
    """Return the origin that claims of this name have."""
    return ClaimOrigin.PEER if name == DETECTED else ClaimOrigin.LIST


def own_scenarios(machine: str) -> str:
    """Return with what the scenarios begin that this node pushes."""
    return f"{_OURS}{machine}/"


def _is_unusable(network: Network) -> bool:
    first = ipaddress.ip_address(network.address)
    return (
        first.is_unspecified or first.is_loopback or first.is_multicast or first.is_link_local or first.is_reserved
        or (first.version == 4 and network.address[0] == 0)
    )  # fmt: skip
