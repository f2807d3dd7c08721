"""Packet rates: too many packets of one source, as eBPF programs count them. Anyone can forge such packets."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta, field

from monitor.detectors.origin_rate import RateDetector
from monitor.detectors.origins import origin_alert
from monitor.detectors.settings import BANTIME, ENTRIES, RECENT, CountingSettings
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.events import DropsObserved, SenderObserved

EventT = TypeVar("EventT", DropsObserved, SenderObserved)


class PacketRateSettings(CountingSettings, frozen=True, kw_only=True):
    """Too many packets of one source."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. Anyone can forge such "
            "packets."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, RECENT, Meta(description="How far back packets of a source are counted.")] = field(
        default=10.0, name="findtime"
    )
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of sources remembered: the bound on memory.")
    ] = 16_384


class PacketRateDetector(RateDetector[EventT]):
    """Fires when `maxretry` packets of one source came within `findtime_s`."""

    is_one_way = True
    what: ClassVar[str]
    """Names what is counted, for people."""

    def feed(self, events: Sequence[EventT]) -> Iterator[Alert]:
        """Yield the alerts that a batch raised; its events are of one poll, each of another source."""
        offences = {event.source: (event, count) for event in events if (count := self.weigh(event))}
        if not offences:
            return
        time_s = next(iter(offences.values()))[0].time_s
        weights = [count for _, count in offences.values()]
        for _, source, count in self.rate.add(list(offences), time_s, weights):
            sample = self.sample(offences[source][0])
            yield origin_alert(self.name, self.limits, source, time_s, count, self.what, sample=sample)

    @abstractmethod
    def weigh(self, event: EventT) -> int:
        """Return how many packets of an event count."""

    def sample(self, event: EventT) -> tuple[str, ...]:
        """Return what else to report of the event that crossed the threshold."""
        del event
        return ()
