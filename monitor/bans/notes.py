"""Notes: what happened to the addresses seen last, for `why`; bounded, and a flood of forged sources ends no others."""

from collections import OrderedDict, deque

import msgspec

from monitor.model.addresses import Address
from monitor.model.alerts import Alert, Strength

_MAX_ADDRESSES = 4096
_MAX_PER_ADDRESS = 8


class Note(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to an address: when, what was decided, on which alert."""

    time_s: float
    verdict: str
    alert: Alert | None


class Notes:
    """Remembers the last 4,096 addresses, with the last eight notes of each.

    Notes on what anyone can forge have room of their own, of the same size.
    """

    def __init__(self) -> None:
        """Remember nothing."""
        self._noted: OrderedDict[Address, deque[Note]] = OrderedDict()
        self._forgeable: OrderedDict[Address, deque[Note]] = OrderedDict()

    def note(self, address: Address, note: Note) -> None:
        """Remember what happened to an address; the addresses noted longest ago are forgotten first."""
        is_forgeable = note.alert is not None and note.alert.strength is Strength.SPOOFABLE
        known = self._forgeable if is_forgeable else self._noted
        notes = known.pop(address, None)
        if notes is None:
            notes = deque(maxlen=_MAX_PER_ADDRESS)
            if len(known) >= _MAX_ADDRESSES:
                known.popitem(last=False)
        notes.append(note)
        known[address] = notes

    def notes(self, address: Address) -> list[Note]:
        """Return what is remembered of an address, oldest first."""
        notes = [note for known in (self._noted, self._forgeable) for note in known.get(address, ())]
        return sorted(notes, key=lambda note: note.time_s)[-_MAX_PER_ADDRESS:]
