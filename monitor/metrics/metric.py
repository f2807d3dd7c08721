"""What a metric is, and one sample of it."""

import enum
from typing import TypeAlias

import msgspec


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


Sample: TypeAlias = tuple[str, tuple[str, ...], float]
"""Name, label values in the catalogue's order, value in base units."""
