"""The page of metrics, kept from scrape to scrape: what did not change is not written again.

On an idle node nearly all of nine hundred samples are those of the scrape before. Each scrape finds its code and data
out of the processor's caches, so what it costs is how much of both it touches: here one comparison for each sample, and
the text of each family whose samples changed. Series are in the same order each time; if not, all is laid out again.
"""

from collections.abc import Collection, Mapping, Sequence

from monitor.metrics.exposition import head, number, sample_end, series_text
from monitor.metrics.metric import Exemplar, Kind, Metric, Sample, Series

_NO_EXEMPLARS: Mapping[Series, Exemplar] = {}


class _KeptFamily:
    """A metric, its series with their places among the samples, and its text in each notation that was asked for."""

    __slots__ = ("metric", "series", "texts")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.series: list[tuple[int, str]] = []
        """The place among the samples, and the text before the value."""
        self.texts: dict[bool, bytes] = {}

    def write(self, samples: Sequence[Sample], examples: Mapping[Series, Exemplar], *, is_openmetrics: bool) -> bytes:
        """Return its lines, with the values of these samples."""
        lines = [head(self.metric, is_openmetrics=is_openmetrics)]
        if examples:
            lines += [
                f"{text}{number(samples[n][2])}{sample_end(examples.get(samples[n][:2]))}" for n, text in self.series
            ]
        else:
            lines += [f"{text}{number(samples[n][2])}\n" for n, text in self.series]
        return "".join(lines).encode(errors="replace")  # a lone surrogate in a label must not cost the page


class KeptPage:
    """The samples of the last scrape, and what was written of them."""

    def __init__(self, metrics: Collection[Metric]) -> None:
        """Take the metrics in the order of the page."""
        self._metrics = {metric.name: metric for metric in metrics}
        self._samples: Sequence[Sample] = ()
        self._families: list[_KeptFamily] = [_KeptFamily(metric) for metric in metrics]
        self._family_of: list[_KeptFamily] = []
        """The family of each sample, by place."""

    def take(self, samples: Sequence[Sample]) -> None:
        """Take the samples of this scrape; KeyError if a metric is unknown, ValueError if its labels are others."""
        before, self._samples = self._samples, samples
        if len(samples) != len(before):
            self._lay_out()
            return
        for place, (sample, old) in enumerate(zip(samples, before, strict=True)):
            if sample is not old and sample != old:
                if sample[:2] != old[:2]:
                    self._lay_out()
                    return
                self._family_of[place].texts.clear()

    def _lay_out(self) -> None:
        """Find the places of all series anew."""
        samples, self._samples = self._samples, ()  # should one be faulty, the next scrape begins anew
        families = {name: _KeptFamily(metric) for name, metric in self._metrics.items()}
        family_of = []
        for place, (name, labels, _) in enumerate(samples):
            family = families[name]
            names = family.metric.labels
            if len(labels) != len(names):
                raise ValueError(f"{name} has the labels {names}, got {labels}")
            family.series.append((place, series_text(name, names, labels)))
            family_of.append(family)
        self._samples, self._families, self._family_of = samples, list(families.values()), family_of

    def texts(self, examples: Mapping[Series, Exemplar] = _NO_EXEMPLARS, *, is_openmetrics: bool) -> list[bytes]:
        """Return the text of each family; `examples` are exemplars of counters, which only OpenMetrics has."""
        counters = {name for name, _ in examples} if is_openmetrics else ()
        return [
            family.write(self._samples, examples, is_openmetrics=True)
            if family.metric.name in counters and family.metric.kind is Kind.COUNTER
            else self._text(family, is_openmetrics=is_openmetrics)
            for family in self._families
        ]

    def _text(self, family: _KeptFamily, *, is_openmetrics: bool) -> bytes:
        text = family.texts.get(is_openmetrics)
        if text is None:
            text = family.write(self._samples, _NO_EXEMPLARS, is_openmetrics=is_openmetrics)
            family.texts[is_openmetrics] = text
        return text
