"""What was counted of flows that still run: each byte counts once, while the flow runs or when it ends. Pure."""

from typing import NamedTuple

from monitor.model.flows import Flow

MIN_BYTES = 1 << 20
"""Of both directions: shorter flows count when they end."""
MAX_FLOWS = 4096

_Key = tuple[int | None, int, int | None]


class Amount(NamedTuple):
    """Packets and bytes of both directions."""

    original_packets: int
    original_bytes: int
    reply_packets: int
    reply_bytes: int

    def beyond(self, counted: "Amount") -> "Amount":
        """Return what came since; nothing where a counter fell, since the entry is another one then."""
        return Amount(*(max(0, now - then) for now, then in zip(self, counted, strict=True)))


NOTHING = Amount(0, 0, 0, 0)


class LongFlows:
    """At most `MAX_FLOWS` are followed; beyond, flows count when they end."""

    def __init__(self) -> None:
        """Follow none."""
        self._counted: dict[_Key, Amount] = {}
        self._seen: set[_Key] = set()
        self._knows_table = False
        self._omitted = 0
        self.omitted = 0
        """Long flows that the last listing showed and that are not followed, because too many are."""

    def __len__(self) -> int:
        """Return how many are followed."""
        return len(self._counted)

    def progress(self, flow: Flow) -> Amount:
        """Return what is new of a flow that runs.

        What the first listing shows came before the start and does not count.
        """
        amount, key = amount_of(flow), _key(flow)
        counted = self._counted.get(key)
        if counted is None:
            if amount.original_bytes + amount.reply_bytes < MIN_BYTES:
                return NOTHING
            if len(self._counted) >= MAX_FLOWS:
                self._omitted += 1
                return NOTHING
        self._counted[key] = amount
        self._seen.add(key)
        return amount.beyond(counted or NOTHING) if self._knows_table else NOTHING

    def finish(self) -> None:
        """Forget flows that the listing which ends here did not show: their end was missed."""
        if self._knows_table:
            self._counted = {key: amount for key, amount in self._counted.items() if key in self._seen}
        self._seen.clear()
        self._knows_table = True
        self.omitted, self._omitted = self._omitted, 0

    def end(self, flow: Flow) -> Amount | None:
        """Return what is new of a flow that ended; None if it was not followed: then all of it is."""
        counted = self._counted.pop(_key(flow), None) if self._counted else None
        return amount_of(flow).beyond(counted) if counted else None


def amount_of(flow: Flow) -> Amount:
    """Return the counters of a flow; 0 where it has none."""
    return Amount(flow.original_packets or 0, flow.original_bytes or 0, flow.reply_packets or 0, flow.reply_bytes or 0)


def _key(flow: Flow) -> _Key:
    """Return namespace, the kernel's number of the entry and the source port, since numbers are used again."""
    return flow.namespace, flow.id, flow.source_port
