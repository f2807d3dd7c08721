"""Notes: what happened to the addresses seen last, for `why`; bounded."""

from collections import OrderedDict, deque

import msgspec

from monitor.model.addresses import Address
from monitor.model.alerts import Alert

_MAX_ADDRESSES = 4096
_MAX_PER_ADDRESS = 8


class Note(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to an address: when, what was decided, on which alert."""

    time_s: float
    verdict: str
    alert: Alert | None


class Notes:
    """Remembers the last 4,096 addresses, with the last eight notes of each."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._notes: OrderedDict[Address, deque[Note]] = OrderedDict()

    def note(self, address: Address, note: Note) -> None:
        """Remember what happened to an address; the addresses noted longest ago are forgotten first."""
        notes = self._notes.pop(address, None)
        if notes is None:
            notes = deque(maxlen=_MAX_PER_ADDRESS)
            if len(self._notes) >= _MAX_ADDRESSES:
                self._notes.popitem(last=False)
        notes.append(note)
        self._notes[address] = notes

    def notes(self, address: Address) -> list[Note]:
        """Return what is remembered of an address, oldest first."""
        return list(self._notes.get(address, ()))
