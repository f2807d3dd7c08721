"""Packet rates: too many packets of one source, as eBPF programs count them. Anyone can forge such packets."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, TypeVar

from monitor.detectors.flow_limits import FlowLimits, OriginRate, flow_alert
from monitor.model.addresses import Address, format_address
from monitor.model.alerts import Alert
from monitor.model.events import DROP_CLASSES, DropsObserved, SenderObserved
from monitor.model.window import WindowStats

_OFFENCES = tuple(number for number, name in enumerate(DROP_CLASSES) if name not in ("no_memory", "other"))
EventT = TypeVar("EventT", DropsObserved, SenderObserved)


class PacketRate(ABC, Generic[EventT]):
    """Fires when `maxretry` packets of one source came within `findtime_s`."""

    name: ClassVar[str]
    what: ClassVar[str]
    """What is counted, in words."""
    recipe: object = None
    """What the caller made it of, for comparison."""

    def __init__(self, limits: FlowLimits) -> None:
        """Take when to fire."""
        self.thresholds = limits
        self._rate = OriginRate(limits)

    @property
    def stats(self) -> WindowStats:
        """What is remembered, and what was forgotten early."""
        return self._rate.stats

    def feed(self, events: Sequence[EventT]) -> Iterable[Alert]:
        """Return the alerts that a batch raised; its events are of one look, each of another source."""
        offences = {event.source: (event, count) for event in events if (count := self.weigh(event))}
        if not offences:
            return
        time_s = next(iter(offences.values()))[0].time_s
        weights = [count for _, count in offences.values()]
        for _, source, count in self._rate.add(list(offences), time_s, weights):
            sample = self.sample(offences[source][0])
            yield flow_alert(self.name, self.thresholds, source, time_s, count, self.what, sample=sample)

    def count(self, source: Address) -> int:
        """Return how many packets of this source came lately."""
        return self._rate.count(source)

    @abstractmethod
    def weigh(self, event: EventT) -> int:
        """Return how many packets of an event count."""

    def sample(self, event: EventT) -> tuple[str, ...]:
        """Return what else to say of the event that crossed the threshold."""
        del event
        return ()


class DropRate(PacketRate[DropsObserved]):
    """Counts packets that dropped for reasons that are the source's.

    What drops for want of memory or buffers is the node's trouble and does not count, nor does what nobody can judge.
    """

    name = "drop_rate"
    what = "packets that the kernel dropped"

    def weigh(self, event: DropsObserved) -> int:
        """Count those that are the source's fault."""
        return sum(event.packets[one] for one in _OFFENCES)

    def sample(self, event: DropsObserved) -> tuple[str, ...]:
        """Say for which reasons, and through which tunnel."""
        reasons = tuple(f"{event.packets[one]} {DROP_CLASSES[one]}" for one in _OFFENCES if event.packets[one])
        return (*reasons, f"in a tunnel from {format_address(event.outer)}") if event.outer else reasons


class SynRate(PacketRate[SenderObserved]):
    """Counts first packets of TCP connections, before any firewall."""

    name = "syn_rate"
    what = "first packets of TCP connections"

    def weigh(self, event: SenderObserved) -> int:
        """Count them."""
        return event.syn_packets


class UdpRate(PacketRate[SenderObserved]):
    """Counts UDP packets, before any firewall."""

    name = "udp_rate"
    what = "UDP packets"

    def weigh(self, event: SenderObserved) -> int:
        """Count them."""
        return event.udp_packets
