"""The prefix ladder: many offenders of one prefix become one ban of the prefix; many bans of one network a long one."""

import struct
from collections.abc import Iterable, Mapping

import msgspec

from monitor.model.addresses import Network, network_of
from monitor.model.bans import Offence
from monitor.model.saved_rows import SavedWindow
from monitor.model.window import DistinctWindow

_TIME = struct.Struct(">d")
_MAX_ENTRIES = 65536


class Step(msgspec.Struct, frozen=True):
    """A rung: `offenders` distinct ones within a prefix of this length, of addresses of `bits` bits, ban it."""

    bits: int
    prefix_length: int
    offenders: int


class Ladder:
    """Counts distinct offenders by prefix within `findtime_s`; bounded, and forged evidence is not fed to it."""

    def __init__(self, steps: Iterable[Step], findtime_s: float) -> None:
        """Take the rungs; those with fewer than two offenders are off."""
        self._windows = {
            step: DistinctWindow(findtime_s=findtime_s, maxretry=step.offenders, max_entries=_MAX_ENTRIES)
            for step in steps
            if step.offenders >= 2
        }

    def tables(self) -> dict[str, SavedWindow]:
        """Return what is counted, by name."""
        return {f"prefix/{one.bits}/{one.prefix_length}": window for one, window in self._windows.items()}

    def climb(self, offence: Offence) -> Network | None:
        """Count an offence; return the widest prefix that has become an offender itself."""
        network = offence.network
        widest = None
        for step, window in self._windows.items():
            if step.bits != network.bits or step.prefix_length >= network.prefix_length:
                continue
            prefix = network_of(network.address, step.prefix_length)
            crossing = window.add(prefix.address, network.address, offence.time_s)
            if crossing and (widest is None or prefix.prefix_length < widest.prefix_length):
                widest = prefix
        return widest


class Recidive:
    """Counts the bans of one network, by whatever detector, within `findtime_s`."""

    def __init__(self, *, maxretry: int, findtime_s: float, bantime_s: float) -> None:
        """Take fail2ban's three words for it."""
        self.bantime_s = bantime_s
        self._window = DistinctWindow(findtime_s=findtime_s, maxretry=maxretry, max_entries=_MAX_ENTRIES)

    @property
    def table(self) -> SavedWindow:
        """What is counted."""
        return self._window

    def crosses(self, offence: Offence) -> bool:
        """Count a ban; whether the network is a recidivist now."""
        network = offence.network
        key = network.address + bytes((network.prefix_length,))
        return self._window.add(key, _TIME.pack(offence.time_s), offence.time_s) is not None


def steps_of(configured: Mapping[str, int]) -> list[Step]:
    """Read rungs like `{"ipv4_24": 5, "ipv6_56": 4}`."""
    return [
        Step(32 if family == "ipv4" else 128, int(length), offenders)
        for name, offenders in configured.items()
        for family, _, length in (name.partition("_"),)
    ]
