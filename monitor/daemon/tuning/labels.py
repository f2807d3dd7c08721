"""Labels: what the operator knows of an address or a network, `good` or `bad`. Pure; `label_file.py` keeps them."""

import enum
from collections.abc import Iterable

import msgspec

from monitor.model.addresses import Network
from monitor.model.network_map import NetworkMap


class Opinion(enum.StrEnum):
    """What the operator says of a source."""

    GOOD = "good"
    """A ban of it is a mistake."""
    BAD = "bad"
    """An offender: a configuration that does not ban it misses something."""


class Label(msgspec.Struct, frozen=True, gc=False):
    """What the operator says of a network since `since_s` (wall time, seconds)."""

    network: Network
    opinion: Opinion
    reason: str
    since_s: float


class Labels:
    """The labels, asked for networks."""

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        """Take the labels; of two for one network the later one counts."""
        self.by_network = {label.network: label for label in labels}
        self._map = NetworkMap(self.by_network)

    def __len__(self) -> int:
        """Return how many networks are labelled."""
        return len(self.by_network)

    def of(self, network: Network) -> Label | None:
        """Return the label that counts for a ban of this network.

        The most specific label around it counts. Where labels inside it differ, a good one does: a ban of the network
        is a ban of that source, too.
        """
        met = [found[1] for found in self._map.meeting(network.whole) if found]
        return next((label for label in met if label.opinion is Opinion.GOOD), met[0] if met else None)
