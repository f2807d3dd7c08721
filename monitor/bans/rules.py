"""How alerts are answered, as configured."""

from collections.abc import Mapping

import msgspec

from monitor.bans.escalation import Increment
from monitor.bans.ladder import Step
from monitor.model.bans import Mode


class DetectorPolicy(msgspec.Struct, frozen=True):
    """How alerts of one detector are answered."""

    mode: Mode
    bantime_s: float


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
