"""Settings that detectors share; each detector derives its own section from one of these classes."""

from collections.abc import Iterable
from typing import Annotated, Self

import msgspec
from msgspec import Meta, field

from monitor.config.kinds import duration, integer
from monitor.config.port_names import PORTS, read_ports
from monitor.config.rule_kinds import NETWORK_NAMES
from monitor.config.shapes import MERGED, Conflict, Section
from monitor.detectors import network_rules
from monitor.detectors.limits import Limits
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.shadow_settings import NO_SHADOW, ShadowSettings, shadow_conflicts
from monitor.model.addresses import Network
from monitor.model.bans import Mode
from monitor.model.ports import MAX_PORTS, count, pack

ENTRIES = integer(1024, 1_048_576)
"""The range of `max_entries`."""
RECENT = duration("1s", "1h")
"""The range of `findtime` for rates: counts of a longer time say little about a flood."""
BANTIME = duration("1s", "365d")
"""The range of `bantime`."""


BAN_PORTS = Meta(
    description="Limit its bans to these ports of ours, at most 64: `tcp/22`, `udp/5060`, `6000-6010` (TCP and UDP), "
    "or a service of /etc/services such as `ssh`. The port is the one that the source addressed, before destination "
    "NAT. Empty: all ports."
)
"""What `ban_ports` means, whatever its key is."""


class DetectorSettings(Section, frozen=True, kw_only=True):
    """What every detector has. Without further settings it fires at the first offence and remembers nothing."""

    mode: Annotated[Mode, Meta(description="`enforce` bans; `observe` only records what would have been banned.")] = (
        Mode.ENFORCE
    )
    findtime_s: Annotated[
        float, duration("1s", "1w"), Meta(description="How far back events of a source are counted.")
    ] = field(default=600.0, name="findtime")
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=3600.0, name="bantime"
    )
    ban_ports: Annotated[tuple[Annotated[str, PORTS], ...], BAN_PORTS] = field(default=(), name="ports")
    allowlist: Annotated[
        tuple[Network, ...],
        MERGED,
        Meta(
            description="Networks whose events do not count for this detector, and that it never bans; others may. For "
            "networks that nothing may ban there is `bans.allowlist`."
        ),
    ] = ()
    networks: Annotated[
        dict[str, NetworkRuleSettings],
        NETWORK_NAMES,
        Meta(
            description="What differs for the sources of single networks, of which the most specific one decides: "
            "`networks: {10.0.0.0/8: {mode: observe, maxretry: 50}}`."
        ),
    ] = field(default_factory=dict)
    shadow: Annotated[
        ShadowSettings,
        Meta(
            description="Other thresholds to try: a second copy of the detector counts by them and bans nobody. "
            "`status` and metrics show whom it finds compared with the real one: `shadow: {maxretry: 3}`."
        ),
    ] = NO_SHADOW

    @property
    def longest_findtime_s(self) -> float:
        """How far back events of any source are counted, in seconds."""
        others = (*(rule.findtime_s for rule in self.networks.values()), self.shadow.findtime_s)
        return max(self.findtime_s, *(one for one in others if isinstance(one, float)), 0.0)

    def conflicts(self) -> Iterable[Conflict]:
        """Return what is wrong with the ports, or with the rules for single networks."""
        if count(self.packed_ports) > MAX_PORTS:
            yield Conflict(("ports",), f"{count(self.packed_ports)} ports: at most {MAX_PORTS}; leave it empty for all")
        yield from network_rules.conflicts(self.without_shadow, self.networks, self.allowlist)
        yield from shadow_conflicts(self, self.shadow)

    @property
    def without_shadow(self) -> Self:
        """The section of the detector alone."""
        return msgspec.structs.replace(self, shadow=NO_SHADOW)

    @property
    def of_shadow(self) -> Self | None:
        """The section with the thresholds of the shadow; None: there is none."""
        changes = self.shadow.changes()
        return msgspec.structs.replace(self, shadow=NO_SHADOW, **changes) if changes else None

    @property
    def packed_ports(self) -> bytes:
        """The ports, as `monitor.model.ports` has them."""
        return pack(pair for text in self.ban_ports for pair in read_ports(text))

    def limits(self, ipv6_prefix: int) -> Limits:
        """Return when to fire; `ipv6_prefix` is the length of the IPv6 prefixes that count as one source."""
        return Limits(self.findtime_s, 1, 0, ipv6_prefix)


class CountingSettings(DetectorSettings, frozen=True, kw_only=True):
    """A detector that counts by source, and fires at `maxretry`."""

    maxretry: Annotated[
        int, integer(1, 10_000), Meta(description="Alert at this many events of one source within `findtime`.")
    ] = 5
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of sources remembered: the bound on memory.")
    ] = 32_768

    def limits(self, ipv6_prefix: int) -> Limits:
        """Return when to fire."""
        return Limits(self.findtime_s, self.maxretry, self.max_entries, ipv6_prefix)


class WindowSettings(CountingSettings, frozen=True, kw_only=True):
    """A detector that remembers each thing that it counts, and so can count no more than `max_entries`."""

    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of counted items remembered: the bound on memory.")
    ] = 32_768

    def conflicts(self) -> Iterable[Conflict]:
        """Return a fault where the threshold lies above the bound on memory."""
        yield from super().conflicts()
        if self.maxretry >= self.max_entries:
            text = f"{self.maxretry} can never be reached: it must be less than max_entries ({self.max_entries})"
            yield Conflict(("maxretry", "max_entries"), text)
