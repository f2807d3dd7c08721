"""What a metric is, and one sample of it."""

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from monitor.model.printable import printable


class Kind(enum.StrEnum):
    """Prometheus metric types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


COUNTER, GAUGE, HISTOGRAM = Kind


class Metric(msgspec.Struct, frozen=True):
    """One metric family; labels are closed sets, never addresses."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


Series: TypeAlias = tuple[str, tuple[str, ...]]
"""A metric's name and label values in the catalogue's order."""


class Exemplar(msgspec.Struct, frozen=True):
    """An example of what a counter counted last: texts by name, and when (wall time in seconds)."""

    labels: dict[str, str]
    time_s: float


MAX_EXEMPLAR_CHARS = 128
"""Of all names and texts of an exemplar together (OpenMetrics 1.0); Prometheus drops longer ones."""


_SPECIAL = str.maketrans(dict.fromkeys('"\\{}#', "_"))
"""Characters that some readers of exemplars misread even when they are escaped; no network, service or pod has them."""


def exemplar(time_s: float, **labels: str) -> Exemplar:
    """Return an exemplar that is short enough: empty texts are left out, the last ones are cut."""
    texts = {name: printable(text).translate(_SPECIAL) for name, text in labels.items()}
    kept: dict[str, str] = {}
    room = MAX_EXEMPLAR_CHARS
    for name, text in texts.items():
        left = room - len(name)
        if text and left > 0:
            kept[name] = text if len(text) <= left else f"{text[: left - 1]}…"
            room = left - len(kept[name])
    return Exemplar(kept, time_s)


Sample: TypeAlias = tuple[str, tuple[str, ...], float]
"""Name, label values in the catalogue's order, value in base units."""


class KeptSamples:
    """Samples that follow from something that seldom changes: as long as it does not, they are the same objects.

    Neither are they made again, nor does the exporter have to look into them.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._source: object = self
        self._samples: Sequence[Sample] = ()

    def of(self, source: object, make: Callable[[], Iterable[Sample]]) -> Sequence[Sample]:
        """Return the samples that `make` returned when it was last called: it is if `source` is not equal any more."""
        if source != self._source:
            self._samples = tuple(make())
            self._source = source
        return self._samples
