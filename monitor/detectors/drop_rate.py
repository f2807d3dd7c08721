"""Drop rate: the kernel drops too many packets of one source, for reasons that are the source's."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from monitor.detectors.flow_limits import FlowLimits, OriginRate, flow_alert
from monitor.model.addresses import Address
from monitor.model.alerts import Alert
from monitor.model.events import DROP_CLASSES, DropsObserved
from monitor.model.window import WindowStats

_OFFENCES = tuple(number for number, name in enumerate(DROP_CLASSES) if name not in ("no_memory", "other"))


class DropRate:
    """Fires when `maxretry` packets of one source were dropped within `findtime_s`.

    What drops for want of memory or buffers is the node's trouble and does not count, nor does what nobody can judge.
    Anyone can forge packets that are dropped.
    """

    name: ClassVar[str] = "drop_rate"
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

    def feed(self, events: Sequence[DropsObserved]) -> Iterable[Alert]:
        """Return the alerts that a batch raised; its events are of one look."""
        offences = [(event, count) for event in events if (count := sum(event.packets[one] for one in _OFFENCES))]
        if not offences:
            return
        time_s = offences[0][0].time_s
        sources, weights = [event.source for event, _ in offences], [count for _, count in offences]
        for _, source, count in self._rate.add(sources, time_s, weights):
            event = next(event for event, _ in offences if event.source == source)
            sample = tuple(f"{event.packets[one]} {DROP_CLASSES[one]}" for one in _OFFENCES if event.packets[one])
            what = "packets that the kernel dropped"
            yield flow_alert(self.name, self.thresholds, source, time_s, count, what, sample=sample)

    def count(self, source: Address) -> int:
        """Return how many packets of this source were dropped lately."""
        return self._rate.count(source)
