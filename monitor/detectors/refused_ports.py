"""Refused ports: the shared part of detectors of scans whose packets the kernel drops. Anyone can forge these."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.detectors.detector import Detector
from monitor.detectors.limits import Limits
from monitor.detectors.origins import origin_alert
from monitor.detectors.settings import ENTRIES, WindowSettings
from monitor.model.addresses import Address, origin_key
from monitor.model.alerts import Alert, Strength
from monitor.model.bitmap_window import BitmapWindow
from monitor.model.events import DropsObserved
from monitor.model.port_bitmap import estimate
from monitor.model.saved_rows import CountingWindow

MOST_PORTS = 200
"""The highest threshold: of more ports, 64 bits say little."""


PortThreshold: TypeAlias = Annotated[
    int,
    integer(2, MOST_PORTS),
    Meta(
        description="Alert when one source tries about this many distinct destination ports within `findtime`. The "
        "number is estimated, with a standard error of 10 % at 30 ports."
    ),
]


class RefusedPortsSettings(WindowSettings, frozen=True, kw_only=True):
    """One source tries many ports."""

    maxretry: PortThreshold = 15
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of bitmaps of ports remembered: the bound on memory.")
    ] = 16_384


class RefusedPortsDetector(Detector[DropsObserved]):
    """Fires when one source is estimated to have probed `maxretry` ports without an answer within `findtime_s`."""

    takes = (DropsObserved,)
    is_one_way = True
    strengths = (Strength.SPOOFABLE,)
    what: ClassVar[str]
    """Names what is counted, for people."""

    def __init__(self, limits: Limits) -> None:
        """Take when to fire."""
        super().__init__(limits)
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._window = BitmapWindow(
            findtime_s=limits.findtime_s, maxretry=limits.maxretry, max_entries=limits.max_entries
        )
        self.stats = self._window.stats

    @abstractmethod
    def ports(self, event: DropsObserved) -> int:
        """Return the bitmap of the ports that count."""

    def feed(self, events: Sequence[DropsObserved]) -> Iterator[Alert]:
        """Yield the alerts that a batch raised."""
        for event in events:
            bitmap = self.ports(event)
            if not bitmap:
                continue
            bits = self._window.add(origin_key(event.source, self._prefix_bytes), bitmap, event.time_s)
            if bits is not None:
                sample = (f"at least {bits.bit_count()} ports",)
                count = int(estimate(bits))
                yield origin_alert(self.name, self.limits, event.source, event.time_s, count, self.what, sample=sample)

    def windows(self) -> Sequence[CountingWindow]:
        """Return the window."""
        return (self._window,)

    def count(self, source: Address) -> int:
        """Return how many distinct ports the origin of this address probed, as estimated."""
        return self._window.count(origin_key(source, self._prefix_bytes))
