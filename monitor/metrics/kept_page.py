"""The page of metrics, kept from scrape to scrape: what did not change is not written again.

On an idle node nearly all of nine hundred samples are those of the scrape before. Each scrape finds its code and data
out of the processor's caches, so what it costs is how much of both it touches: here one comparison for each sample, and
the text of each family whose samples changed. Series keep their order. When some come or go, all are compared by
family, and the families that have others are laid out anew.
"""

from collections.abc import Collection, Mapping, Sequence

from monitor.metrics.exposition import head, number, sample_end, series_text
from monitor.metrics.metric import Exemplar, Kind, Metric, Sample, Series

_NO_EXEMPLARS: Mapping[Series, Exemplar] = {}


class _KeptFamily:
    """A metric, its series with their values, and its text in each notation that was asked for."""

    __slots__ = ("labels", "metric", "starts", "texts", "values")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.labels: list[tuple[str, ...]] = []
        self.starts: list[str] = []
        """What the line of each series says before the value."""
        self.values: list[float] = []
        self.texts: dict[bool, bytes] = {}

    def take(self, labels: list[tuple[str, ...]], values: list[float]) -> None:
        """Take all series; ValueError if one has other labels than the metric."""
        if labels != self.labels:
            metric = self.metric
            if faulty := next((one for one in labels if len(one) != len(metric.labels)), None):
                raise ValueError(f"{metric.name} has the labels {metric.labels}, got {faulty}")
            self.starts = [series_text(metric.name, metric.labels, one) for one in labels]
            self.labels = labels
            self.texts.clear()
        if values != self.values:
            self.values = values
            self.texts.clear()

    def write(self, examples: Mapping[Series, Exemplar], *, is_openmetrics: bool) -> bytes:
        """Return its lines."""
        lines = [head(self.metric, is_openmetrics=is_openmetrics)]
        if examples:
            ends = [sample_end(examples.get((self.metric.name, labels))) for labels in self.labels]
            ended = zip(self.starts, self.values, ends, strict=True)
            lines += [f"{start}{number(value)}{end}" for start, value, end in ended]
        else:
            series = zip(self.starts, self.values, strict=True)
            lines += [f"{start}{number(value)}\n" for start, value in series]
        return "".join(lines).encode(errors="replace")  # a lone surrogate in a label must not cost the page

    def keep(self, *, is_openmetrics: bool) -> bytes:
        """Return its lines without exemplars, and keep them."""
        text = self.texts[is_openmetrics] = self.write(_NO_EXEMPLARS, is_openmetrics=is_openmetrics)
        return text


class KeptPage:
    """The samples of the last scrape, and what was written of them."""

    def __init__(self, metrics: Collection[Metric]) -> None:
        """Take the metrics in the order of the page."""
        self._families = {metric.name: _KeptFamily(metric) for metric in metrics}
        self._samples: Sequence[Sample] | None = None
        self._slots: list[tuple[_KeptFamily, int]] = []
        """The family of each sample, and its number in there."""

    def take(self, samples: Sequence[Sample]) -> None:
        """Take the samples of this scrape; KeyError if a metric is unknown, ValueError if its labels are others."""
        before, self._samples = self._samples, None  # should one be faulty, the next scrape compares all
        if before is None or len(samples) != len(before) or not self._take_values(samples, before):
            self._compare(samples)
        self._samples = samples

    def _take_values(self, samples: Sequence[Sample], before: Sequence[Sample]) -> bool:
        """Note changed values; return whether the series are those of before."""
        for sample, old, (family, number_there) in zip(samples, before, self._slots, strict=True):
            if sample is not old and sample != old:
                if sample[0] != old[0] or sample[1] != old[1]:
                    return False
                family.values[number_there] = sample[2]
                family.texts.clear()
        return True

    def _compare(self, samples: Sequence[Sample]) -> None:
        """Find the series of all families anew."""
        found: dict[str, tuple[list[tuple[str, ...]], list[float]]] = {name: ([], []) for name in self._families}
        slots = []
        for name, labels, value in samples:
            of_family = found[name]
            slots.append((self._families[name], len(of_family[0])))
            of_family[0].append(labels)
            of_family[1].append(value)
        for name, family in self._families.items():
            family.take(*found[name])
        self._slots = slots

    def texts(self, examples: Mapping[Series, Exemplar] = _NO_EXEMPLARS, *, is_openmetrics: bool) -> list[bytes]:
        """Return the text of each family; `examples` are exemplars of counters, which only OpenMetrics has."""
        counters = {name for name, _ in examples} if is_openmetrics else ()
        return [
            family.write(examples, is_openmetrics=True)
            if family.metric.name in counters and family.metric.kind is Kind.COUNTER
            else family.texts.get(is_openmetrics) or family.keep(is_openmetrics=is_openmetrics)
            for family in self._families.values()
        ]
