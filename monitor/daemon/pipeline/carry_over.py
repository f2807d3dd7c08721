"""What detectors keep over a change of the configuration, and what starts from zero.

A detector that would be made the same is kept as it is. One whose thresholds changed takes over the counts of the one
before, where they mean the same (`Detector.take_over`). Bans are not touched: they are claims of the ledger, whatever
becomes of the detector.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from monitor.detectors.detector import Detector
from monitor.detectors.kept import Extent, Kept
from monitor.model.addresses import Network

_NO_FILTERS: Mapping[str, str] = MappingProxyType({})


class Carried(msgspec.Struct, frozen=True):
    """What became of the counts of one detector, or of its part that counts one network apart (empty: all others)."""

    detector: str
    network: str
    extent: Extent
    text: str

    @property
    def is_all(self) -> bool:
        """Whether nothing was lost or changed."""
        return self.extent is Extent.ALL

    def __str__(self) -> str:
        """Write it for people, on one line."""
        return f"{self.detector}{f' for {self.network}' if self.network else ''}: {self.text}"


class CarryOver:
    """Collects what is kept while detectors are made anew."""

    def __init__(
        self,
        now_s: float,
        old_filters: Mapping[str, str] = _NO_FILTERS,
        new_filters: Mapping[str, str] = _NO_FILTERS,
    ) -> None:
        """Take the wall time, and digests of the filters of detectors that watch logs, as they were and as they are."""
        self._now_s = now_s
        self._reread = {name for name, one in old_filters.items() if new_filters.get(name, one) != one}
        self.carried: list[Carried] = []
        """What was kept of each detector, in the order in which they were made."""

    def follow(self, made: Detector[Any], known: Detector[Any] | None, network: Network | None = None) -> Detector[Any]:
        """Return the detector to use: `known`, the one before, if it is the same, else `made` with what it may keep."""
        if known is None:
            text = "counted apart from now on, from zero" if network else "new: counts start from zero"
            return self._note(made, Kept(Extent.NOTHING, text), network)
        if made.name in self._reread:
            return self._note(made, Kept(Extent.NOTHING, "its filter changed: counts start from zero"), network)
        if known.recipe == made.recipe:
            return self._note(known, Kept(Extent.ALL, "unchanged, all counts kept"), network)
        return self._note(made, made.take_over(known, self._now_s), network)

    def dropped(self, old: Sequence[Detector[Any]], new: Sequence[Detector[Any]]) -> None:
        """Note the detectors that are gone."""
        names = {one.name for one in new}
        for one in old:
            if one.name not in names:
                text = "no longer there: its counts are gone, its bans stay until they end"
                self.carried.append(Carried(one.name, "", Extent.NOTHING, text))

    def _note(self, detector: Detector[Any], kept: Kept, network: Network | None) -> Detector[Any]:
        self.carried.append(Carried(detector.name, str(network) if network else "", kept.extent, kept.text))
        return detector
