"""How alerts are answered, as configured."""

from collections.abc import Mapping

import msgspec

from monitor.bans.escalation import Increment
from monitor.bans.ladder import Step
from monitor.model.addresses import Address, Network
from monitor.model.bans import AllowEntry, Mode
from monitor.model.network_map import NetworkMap


class NetworkPolicy(msgspec.Struct, frozen=True):
    """How alerts of one detector about the sources of one network are answered."""

    mode: Mode
    bantime_s: float
    findtime_s: float
    maxretry: int
    allowed: AllowEntry | None = None
    """Why its sources do not count; None: they do."""


class DetectorPolicy(msgspec.Struct, frozen=True):
    """How alerts of one detector are answered."""

    mode: Mode
    bantime_s: float
    ports: bytes = b""
    """Ports of ours that its bans are limited to (`monitor.model.ports`); empty: all."""
    networks: NetworkMap[NetworkPolicy] | None = None
    """What differs for single networks; None: nothing."""

    @property
    def enforces(self) -> bool:
        """Whether it bans anyone."""
        return self.mode is Mode.ENFORCE or any(
            one.mode is Mode.ENFORCE for one in (self.networks.entries.values() if self.networks else ())
        )

    def at(self, source: Address) -> tuple[Mode, float]:
        """Return mode and ban time in seconds for a source."""
        found = self.networks.get(source) if self.networks else None
        return (self.mode, self.bantime_s) if found is None else (found[1].mode, found[1].bantime_s)

    @property
    def has_allowlist(self) -> bool:
        """Whether there are networks that it never bans."""
        return self.networks is not None and any(one.allowed for one in self.networks.entries.values())

    def allowed(self, network: Network) -> AllowEntry | None:
        """Return why this detector must not ban a network; None if it may."""
        if self.networks is None:
            return None
        return next((one[1].allowed for one in self.networks.meeting(network) if one and one[1].allowed), None)

    def observes_part(self, network: Network) -> bool:
        """Whether some address of a network is only observed."""
        return self.networks is not None and any(
            (self.mode if one is None else one[1].mode) is Mode.OBSERVE for one in self.networks.meeting(network)
        )


class Rules(msgspec.Struct, frozen=True):
    """How alerts are answered."""

    detectors: Mapping[str, DetectorPolicy]
    bans_per_minute: int = 300
    increment: Increment = Increment()
    escalate_spoofable: bool = False
    """Whether evidence that anyone can forge counts towards longer, repeated and prefix bans."""
    recidive_maxretry: int = 0
    """Bans of one network within `recidive_findtime_s` that lead to one of `recidive_bantime_s`; below 2: never."""
    recidive_findtime_s: float = 86400.0
    recidive_bantime_s: float = 604800.0
    ladder: tuple[Step, ...] = ()
    ladder_findtime_s: float = 86400.0
