"""Escalation: who offends again is banned for longer; who stays quiet is forgiven, step by step."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import Offence
from monitor.model.saved_rows import SavedRow, number_row, read_number

_MAX_STEP = 20  # fail2ban's bound: 2^20 times any ban is longer than any maximum
_encode_key = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(tuple[Network, str]).decode


class Increment(msgspec.Struct, frozen=True):
    """How ban times grow, in fail2ban's words (`bantime.increment` and its kin); times in seconds."""

    enabled: bool = True
    factor: float = 1.0
    multipliers: tuple[float, ...] = ()
    """Used instead of doubling when given; the last one serves for all further steps."""
    maxtime_s: float = 4 * 604800.0
    rndtime_s: float = 0.0
    """Up to this much is added at random, so that nobody can time the end of a ban."""
    overalljails: bool = False
    """Whether offences against all detectors count together."""
    decay_s: float = 604800.0
    """After each such time without an offence, one step is forgiven."""

    def bantime_s(self, base_s: float, step: int, random: Callable[[], float]) -> float:
        """Return the ban time of a step (0: the first offence), `random` being a number from 0 to 1."""
        if not self.enabled or step == 0:
            return base_s
        if self.multipliers:
            grown_s = base_s * self.multipliers[min(step, len(self.multipliers) - 1)]
        else:
            grown_s = base_s * self.factor * float(1 << min(step, _MAX_STEP))
        # A detector's own ban time is never cut, only what was added to it.
        extra_s = self.rndtime_s * random() if self.rndtime_s else 0.0
        return max(base_s, min(grown_s + extra_s, self.maxtime_s))


class Escalation:
    """Counts offences by network (and detector); bounded, the networks that offended longest ago go first."""

    def __init__(self, increment: Increment, *, max_networks: int = 65536) -> None:
        """Start with nobody known; feed the history with `count`."""
        self.increment = increment
        self._max_networks = max_networks
        self._known: OrderedDict[tuple[Network, str], tuple[int, float]] = OrderedDict()

    def step(self, network: Network, detector: str, time_s: float) -> int:
        """Return how many offences still count at `time_s`."""
        known = self._known.get(self._key(network, detector))
        if known is None:
            return 0
        count, last_s = known
        forgiven = int(max(0.0, time_s - last_s) // self.increment.decay_s)
        return max(0, count - forgiven)

    def count(self, offence: Offence) -> None:
        """Count an offence, those of the history in the order of their times."""
        key = self._key(offence.network, offence.detector)
        step = self.step(offence.network, offence.detector, offence.time_s)
        self._known.pop(key, None)
        if len(self._known) >= self._max_networks:
            self._known.popitem(last=False)
        self._known[key] = (min(step, _MAX_STEP) + 1, offence.time_s)

    def export(self, limit: int) -> list[SavedRow]:
        """Return who offended last, at most `limit`, oldest first; see `SavedWindow`."""
        known = islice(self._known.items(), max(0, len(self._known) - limit), None)
        return [number_row(_encode_key(key), count, last_s) for key, (count, last_s) in known]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know these, in their order; what cannot be read is left out."""
        for data, value, last_s in rows:
            try:
                key = _decode_key(data)
            except msgspec.DecodeError:
                continue
            if last_s <= now_s and len(self._known) < self._max_networks:
                self._known[key] = min(read_number(value), _MAX_STEP + 1), last_s

    def __len__(self) -> int:
        """Return how many networks (and detectors) are known."""
        return len(self._known)

    def _key(self, network: Network, detector: str) -> tuple[Network, str]:
        return network, "" if self.increment.overalljails else detector
