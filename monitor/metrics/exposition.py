"""Writes samples as Prometheus text 0.0.4 or as OpenMetrics 1.0.

The client library for Python does this, too. It brings an HTTP server, a WSGI server, an HTTP client and the e-mail
package with it: several MB in the memory of each node, for the two pages of text that are here.

Theory of operation: a family holds its points, notations differ in how a family is headed, in what HELP escapes, and in
that only OpenMetrics has exemplars and an end mark. Names of metrics and labels are those of the catalogue and need
no escaping; texts of labels are escaped.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from threading import Lock

import msgspec

from monitor.metrics.metric import Exemplar, Kind, Metric

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = b"# EOF\n"
"""The last line of a page in OpenMetrics."""
_TOTAL = "_total"
_ACCEPTS_GZIP = re.compile(r"\s*gzip\s*(;(?!\s*q=0(\.0*)?\s*$).*)?", re.IGNORECASE)
"""A coding of Accept-Encoding; the weight 0 means not acceptable (RFC 9110, section 12.4.2)."""
_EXPONENT_FROM_DIGITS = 7
"""Go writes floats with an exponent from this number of digits before the point; Prometheus compares `le` as text."""
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Point(msgspec.Struct, frozen=True):
    """One line: what follows the family's name, texts of labels by name, the value, and an exemplar of a counter."""

    suffix: str
    labels: dict[str, str]
    value: float
    exemplar: Exemplar | None = None


class Family(msgspec.Struct):
    """A metric family with its points; the name of a counter is without `_total`."""

    name: str
    kind: Kind
    help: str
    points: list[Point]

    @classmethod
    def of(cls, metric: Metric) -> "Family":
        """Return the family of a metric, without points."""
        name = metric.name.removesuffix(_TOTAL) if metric.kind is Kind.COUNTER else metric.name
        return cls(name, metric.kind, metric.help, [])

    def add(self, labels: dict[str, str], value: float, exemplar: Exemplar | None = None) -> None:
        """Add the sample of a counter or gauge."""
        self.points.append(Point(_TOTAL if self.kind is Kind.COUNTER else "", labels, value, exemplar))


class Histogram:
    """Counts values by size; any thread may observe or read."""

    def __init__(self, metric: Metric) -> None:
        """Count from zero, in the metric's buckets (upper bounds, ascending) and one above all."""
        self._metric = metric
        self._bounds = [bound for bound in metric.buckets if bound < math.inf] + [math.inf]
        self._lock = Lock()
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._texts: dict[bool, bytes] = {}
        """By notation, until the next value."""

    def observe(self, value: float) -> None:
        """Count a value, in the metric's unit."""
        with self._lock:
            self._texts = {}
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def text(self, *, is_openmetrics: bool) -> bytes:
        """Return what was counted up to now as a part of a page."""
        texts = self._texts
        if is_openmetrics not in texts:
            texts[is_openmetrics] = write_families([self.family()], is_openmetrics=is_openmetrics)
        return texts[is_openmetrics]

    def family(self) -> Family:
        """Return what was counted up to now."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        points, seen = [], 0
        for bound, count in zip(self._bounds, counts, strict=True):
            seen += count
            points.append(Point("_bucket", {"le": number(bound)}, seen))
        points += [Point("_count", {}, seen), Point("_sum", {}, total)]
        return Family(self._metric.name, Kind.HISTOGRAM, self._metric.help, points)


def number(value: float) -> str:
    """Return a number as Go writes it, so that Prometheus finds the `le` of rules again."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    text = repr(float(value))
    whole, point, rest = text.partition(".")
    if value < 0 or not point or len(whole) < _EXPONENT_FROM_DIGITS:
        return text
    digits = f"{whole[0]}.{whole[1:]}{rest}".rstrip("0").rstrip(".")
    return f"{digits}e+{len(whole) - 1:02d}"


def write(families: Iterable[Family], *, is_openmetrics: bool) -> bytes:
    """Return families as a page."""
    return write_families(families, is_openmetrics=is_openmetrics) + (END if is_openmetrics else b"")


def write_families(families: Iterable[Family], *, is_openmetrics: bool) -> bytes:
    """Return families as a part of a page."""
    lines: list[str] = []
    for family in families:
        lines.append(_head(family.name, family.kind, family.help, is_openmetrics=is_openmetrics))
        lines.extend(_line(family.name, point, is_openmetrics=is_openmetrics) for point in family.points)
    return "".join(lines).encode(errors="replace")  # a lone surrogate in a label must not cost the page


def head(metric: Metric, *, is_openmetrics: bool) -> str:
    """Return the lines before the samples of a metric."""
    family = Family.of(metric)
    return _head(family.name, family.kind, family.help, is_openmetrics=is_openmetrics)


def _head(name: str, kind: Kind, text: str, *, is_openmetrics: bool) -> str:
    name = name + _TOTAL if kind is Kind.COUNTER and not is_openmetrics else name
    text = text.translate(_LABEL_ESCAPES if is_openmetrics else _HELP_ESCAPES)
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _line(name: str, point: Point, *, is_openmetrics: bool) -> str:
    labels = f"{{{_pairs(point.labels)}}}" if point.labels else ""
    return f"{name}{point.suffix}{labels} {number(point.value)}{sample_end(point.exemplar if is_openmetrics else None)}"


def series_text(name: str, label_names: Sequence[str], labels: Sequence[str]) -> str:
    """Return what a line says before its value."""
    return f"{name}{{{_pairs(dict(zip(label_names, labels, strict=True)))}}} " if labels else f"{name} "


def _pairs(labels: dict[str, str]) -> str:
    return ",".join([f'{name}="{labels[name].translate(_LABEL_ESCAPES)}"' for name in sorted(labels)])


def sample_end(exemplar: Exemplar | None) -> str:
    """Return what a line says after its value."""
    return f" # {{{_pairs(exemplar.labels)}}} 1.0 {round(exemplar.time_s, 3)}\n" if exemplar else "\n"


def accepts_gzip(header: str) -> bool:
    """Return whether a client takes gzip, by its Accept-Encoding."""
    return any(_ACCEPTS_GZIP.fullmatch(coding) for coding in header.split(","))
