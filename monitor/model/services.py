"""Services known on this node and behind it: attempts to reach them are no probes, even if they are refused.

A service is known by what it did: it completed a handshake, answered, or listens on this node. Destination NAT makes a
service known as well (a NodePort whose pods are restarting), but only as long as few ports lead to one destination:
where all ports of a host are forwarded, that says nothing about its services.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from monitor.model.addresses import Address
from monitor.model.flows import Flow, FlowBatch, FlowIncomplete

KEPT_S = 86_400.0
"""How long a service is remembered after it was last seen to work: longer than an upgrade or a night."""
_REFRESH_S = 60.0
_MAX_SERVICES = 8192
_MAX_REDIRECTING = 1024
_MAX_REDIRECTED_PORTS = 64
ANY_ADDRESS: Address = b""
"""The address of a listener on all addresses of the node."""

Service: TypeAlias = tuple[Address, int, int]
"""Address (ANY_ADDRESS: every one of the node), protocol, port."""


class Services:
    """At most 8,192 services, of which the one seen longest ago is forgotten first; time is that of the events."""

    def __init__(self) -> None:
        """Know of none."""
        self._seen_s: OrderedDict[Service, float] = OrderedDict()
        self._listening: frozenset[Service] = frozenset()
        self._by_port: Counter[tuple[int, int]] = Counter()
        self._redirected: OrderedDict[Address, set[int]] = OrderedDict()
        self._new: list[Service] = []

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._seen_s)

    def note(self, batch: FlowBatch, is_ours: Callable[[Address], bool]) -> None:
        """Learn the services that worked; `is_ours`: whether an address is of this node or behind it."""
        for flow in (*batch.completed, *batch.listed):
            self._note_flow(flow, batch.time_s, is_ours)
        for attempt in batch.incomplete:
            if attempt.was_answered and is_ours(attempt.real_destination or attempt.destination):
                for service in _services_of(attempt):
                    self._add(service, batch.time_s)

    def follow(self, listening: Iterable[Service]) -> None:
        """Follow the listening sockets of this node."""
        before, self._listening = self._listening, frozenset(listening)
        self._by_port.update((protocol, port) for _, protocol, port in self._listening - before)
        self._by_port.subtract((protocol, port) for _, protocol, port in before - self._listening)
        self._new += sorted(self._listening - before)

    def see_listeners(self, now_s: float) -> None:
        """Remember the listening sockets, so that they are known while they are closed, or after a reboot."""
        for service in sorted(self._listening):
            self._add(service, now_s)

    @property
    def has_new(self) -> bool:
        """Whether `take_new` returns something."""
        return bool(self._new)

    def take_new(self) -> list[Service]:
        """Return the services that became known since the last call."""
        new, self._new = self._new, []
        return new

    def serves(self, attempt: FlowIncomplete, *, is_own: bool) -> bool:
        """Whether an attempt was made to a known service; `is_own`: its destination is an address of the node."""
        port, real = attempt.destination_port or 0, attempt.real_destination
        if self.has((attempt.destination, attempt.protocol, port), attempt.time_s, is_own=is_own):
            return True
        if real is None:
            return False
        is_known = self.has((real, attempt.protocol, attempt.real_destination_port or 0), attempt.time_s)
        return is_known or self._is_redirected(real, port)

    def has(self, service: Service, now_s: float, *, is_own: bool = False) -> bool:
        """Whether this service is known; `is_own`: at an address of the node, where one on all addresses counts too."""
        if not self._by_port.get(service[1:]):  # probes are mostly at ports that no service has
            return False
        if service in self._listening or now_s - self._seen_s.get(service, float("-inf")) <= KEPT_S:
            return True
        return is_own and self.has((ANY_ADDRESS, *service[1:]), now_s)

    def has_port(self, protocol: int, port: int) -> bool:
        """Whether a service on this port is known at any address."""
        return self._by_port[protocol, port] > 0

    def remembered(self) -> Iterator[tuple[Service, float]]:
        """Yield what to keep across a restart: services with the time when they were last seen, oldest first."""
        yield from self._seen_s.items()

    def remember(self, services: Iterable[tuple[Service, float]], now_s: float) -> None:
        """Take in services of an earlier run, oldest first."""
        for service, seen_s in services:
            if now_s - KEPT_S <= seen_s <= now_s:
                self._add(service, seen_s)
        self._new.clear()

    def shift(self, step_s: float) -> None:
        """Keep the age of what was seen when the clock is set."""
        for service in self._seen_s:
            self._seen_s[service] += step_s

    def _note_flow(self, flow: Flow, now_s: float, is_ours: Callable[[Address], bool]) -> None:
        service = flow.destination, flow.protocol, flow.destination_port or 0
        if now_s - self._seen_s.get(service, float("-inf")) < _REFRESH_S or not is_ours(flow.real_destination):
            return
        self._add(service, now_s)
        self._add((flow.real_destination, flow.protocol, flow.real_destination_port or 0), now_s)

    def _add(self, service: Service, now_s: float) -> None:
        if self._seen_s.pop(service, None) is None:
            self._by_port[service[1:]] += 1
            self._new.append(service)
            del self._new[:-_MAX_SERVICES]
            if len(self._seen_s) >= _MAX_SERVICES:
                (_, *gone), _ = self._seen_s.popitem(last=False)
                self._by_port[gone[0], gone[1]] -= 1
        self._seen_s[service] = now_s

    def _is_redirected(self, destination: Address, port: int) -> bool:
        """Whether a port leads to a destination by NAT, as few others do."""
        ports = self._redirected.pop(destination, set())
        if len(ports) <= _MAX_REDIRECTED_PORTS:
            ports.add(port)
        self._redirected[destination] = ports
        if len(self._redirected) > _MAX_REDIRECTING:
            self._redirected.popitem(last=False)
        return len(ports) <= _MAX_REDIRECTED_PORTS


def _services_of(attempt: FlowIncomplete) -> Iterator[Service]:
    """Yield the service that was called, and the one behind NAT."""
    yield attempt.destination, attempt.protocol, attempt.destination_port or 0
    if attempt.real_destination is not None:
        yield attempt.real_destination, attempt.protocol, attempt.real_destination_port or 0
