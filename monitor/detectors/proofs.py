"""Proofs: which sources completed handshakes lately. The one place that decides what an alert proves. Pure.

A handshake is proof because its last packet repeats a number that was sent to the source. Connection tracking takes any
number up to 66,000 below the right one (MAXACKWINCONST, nf_conntrack_proto_tcp.c), so a forger who never sees an answer
guesses right once in about 65,000 packets. Each wrong guess counts as `invalid` in the statistics of the table. So
handshakes prove something only when there are many more than those guesses can have brought about.

A host behind this node, such as a pod with CAP_NET_RAW, can answer packets of a forger in the node's name, and both
know the numbers. Connection tracking sees a handshake; the node's TCP sees none. So handshakes count against the number
of connections that TCP accepted (PassiveOpens, RFC 4022): each one more is taken for a forged one.

And only what was done by handshake is proven: a source that works with us completes handshakes all day, and must not be
banned for good because somebody else sends probes in its name.
"""

from collections import Counter
from collections.abc import Iterable

from monitor.model.addresses import origin_key
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, ListenTotals
from monitor.model.protocols import PROTOCOL_TCP

_GUESSES_A_HANDSHAKE = 65_000
_LEAST = 4
_MARGIN = 4
"""Handshakes needed for each that all guesses can have completed: by chance so many more are never completed."""
_LATELY_S = 300.0
_MAX_ENTRIES = 65_536
_COUNTER_BITS = 32
_SERVICE_BYTES = 13
"""Of a key, behind the origin: four and thirteen are more than any origin has, so no service is taken for one."""


class Proofs:
    """Handshakes completed by origin, and by origin and service, within the last five to ten minutes.

    What is noted counts only once `settle` knows how many guesses came with it. At most 65,536 keys a generation are
    remembered; beyond that, those of the five minutes before are forgotten early (`evicted_total`): less is proven.
    """

    def __init__(self, ipv6_prefix: int = 64) -> None:
        """Know of none; the addresses of an IPv6 prefix of so many bits (a multiple of 8) are one origin."""
        self.evicted_total = 0
        self.ipv6_prefix = ipv6_prefix
        self._prefix_bytes = ipv6_prefix // 8
        self._fresh: Counter[bytes] = Counter()
        self._current: Counter[bytes] = Counter()
        self._previous: Counter[bytes] = Counter()
        self._guesses = [0, 0]
        self._unaccepted = [0, 0]
        self._totals: tuple[int, ListenTotals] | None = None
        self._claimed = self._credit = 0
        self._begun_s = float("-inf")

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._current) + len(self._previous)

    @property
    def needed(self) -> int:
        """How many handshakes are proof, given how many can be forged."""
        return _LEAST + _MARGIN * sum(self._guesses) // _GUESSES_A_HANDSHAKE + _MARGIN * sum(self._unaccepted)

    def note(self, completed: Iterable[Flow], late: Iterable[Flow] = ()) -> None:
        """Take in completed TCP handshakes with this node's own sockets; `late` ones only count against TCP's total.

        Those of other namespaces are skipped: their guesses are not known.
        """
        width = self._prefix_bytes
        flows = [flow for flow in completed if flow.namespace is None and flow.protocol == PROTOCOL_TCP]
        keys = [origin_key(flow.source, width) for flow in flows]
        self._claimed += len(flows) + sum(flow.namespace is None and flow.protocol == PROTOCOL_TCP for flow in late)
        self._fresh.update(keys)
        self._fresh.update(
            [service_proof(key, flow.protocol, flow.destination_port) for key, flow in zip(keys, flows, strict=True)]
        )
        if len(self._fresh) > _MAX_ENTRIES:  # nobody settles
            self.lose()

    def lose(self) -> None:
        """Let what was noted since the last `settle` prove nothing: nobody knows how much of it TCP accepted."""
        self.evicted_total += len(self._fresh)
        self._fresh.clear()
        self._totals = None

    def settle(self, invalid_total: int, totals: ListenTotals | None, now_s: float) -> None:
        """Let what was noted count; to be called often.

        `invalid_total` is the table's total of invalid packets (32 bits), `totals` those of TCP. If these are not
        known, or TCP dropped attempts that connection tracking took for connections, nothing new is proven.
        """
        fresh, self._fresh = self._fresh, Counter()
        claimed, self._claimed = self._claimed, 0
        before, self._totals = self._totals, None if totals is None else (invalid_total, totals)
        if before is None or totals is None or _has_dropped(before[1], totals):
            self.evicted_total += len(fresh)
            self._credit = 0
            return
        is_old = now_s >= self._begun_s + _LATELY_S
        if is_old or now_s < self._begun_s or len(self._current) + len(fresh) > _MAX_ENTRIES:
            if not is_old:
                self.evicted_total += len(self._previous)
            self._previous, self._current = self._current, Counter()
            self._guesses, self._unaccepted = [self._guesses[1], 0], [self._unaccepted[1], 0]
            self._begun_s = now_s
        self._guesses[1] += (invalid_total - before[0]) % (1 << _COUNTER_BITS)
        accepted = max(0, totals.accepted - before[1].accepted)
        self._unaccepted[1] += max(0, claimed - accepted - self._credit)
        self._credit = max(0, accepted - claimed)  # connection tracking reports some of them a moment later
        self._current.update(fresh)

    def strength(self, alert: Alert) -> Strength:
        """Return what the alert proves: what its detector knows already, or by the handshakes that it rests on."""
        if alert.handshakes is None or alert.strength is not Strength.SPOOFABLE:
            return alert.strength
        count = self._current[alert.handshakes] + self._previous[alert.handshakes]
        return Strength.PROVEN if count >= self.needed else Strength.SPOOFABLE


def _has_dropped(before: ListenTotals, now: ListenTotals) -> bool:
    return (now.overflows, now.drops) != (before.overflows, before.drops)


def service_proof(origin: bytes, protocol: int, port: int | None) -> bytes:
    """Return the key of an origin's handshakes with one service."""
    return origin + (protocol << 16 | (port or 0)).to_bytes(_SERVICE_BYTES)
