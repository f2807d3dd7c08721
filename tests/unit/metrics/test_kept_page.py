"""The page that is kept from scrape to scrape, compared with one that is written each time."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.metrics.exposition import Family, write_families
from monitor.metrics.kept_page import KeptPage
from monitor.metrics.metric import Exemplar, KeptSamples, Kind, Metric, Sample

_METRICS = (
    Metric("lines_total", Kind.COUNTER, "Lines.", ("to", "by")),
    Metric("size_bytes", Kind.GAUGE, 'How "large".'),
    Metric("unused", Kind.GAUGE, "Nothing."),
)
_LABELS = st.tuples(st.sampled_from(("a", "b", '"')), st.sampled_from(("x", "\udcff", "é")))
_VALUES = st.sampled_from((0, 1, 1.5, 1e16, math.inf, math.nan, True))
_SCRAPES = st.lists(
    st.tuples(st.dictionaries(_LABELS, _VALUES, max_size=5), st.none() | _VALUES, st.booleans(), st.booleans()),
    min_size=1,
    max_size=6,
)


def _written(samples: Sequence[Sample], *, is_openmetrics: bool) -> bytes:
    """Return the page of these samples alone."""
    families = {metric.name: (metric, Family.of(metric)) for metric in _METRICS}
    for name, labels, value in samples:
        metric, family = families[name]
        family.add(dict(zip(metric.labels, labels, strict=True)), value)
    return write_families([family for _, family in families.values()], is_openmetrics=is_openmetrics)


@given(_SCRAPES)
@example([({("a", "x"): 1}, 2, True, True), ({("a", "x"): 1, ("b", "x"): 3}, None, True, True)])
def test_each_scrape_is_as_if_it_were_the_first(
    scrapes: list[tuple[dict[tuple[str, str], float], float | None, bool, bool]],
) -> None:
    """Series that come, go and change places, and values that change, are on the page as they are now."""
    page = KeptPage(_METRICS)
    for lines, size, is_first, is_openmetrics in scrapes:
        samples: list[Sample] = [("lines_total", labels, value) for labels, value in lines.items()]
        if size is not None:
            samples.insert(0 if is_first else len(samples), ("size_bytes", (), size))
        page.take(samples)
        assert b"".join(page.texts(is_openmetrics=is_openmetrics)) == _written(samples, is_openmetrics=is_openmetrics)


def test_what_did_not_change_is_not_written_again() -> None:
    """Only the text of the family with another value is another object."""
    page = KeptPage(_METRICS)
    page.take([("lines_total", ("a", "x"), 1), ("size_bytes", (), 1)])
    before = page.texts(is_openmetrics=False)
    page.take([("lines_total", ("a", "x"), 2), ("size_bytes", (), 1)])
    after = page.texts(is_openmetrics=False)
    assert [one is old for one, old in zip(after, before, strict=True)] == [False, True, True]


def test_an_exemplar_does_not_stay() -> None:
    """The next page without it is as if there had been none."""
    page = KeptPage(_METRICS)
    samples: list[Sample] = [("lines_total", ("a", "x"), 1)]
    page.take(samples)
    shown = page.texts({("lines_total", ("a", "x")): Exemplar({"network": "192.0.2.7"}, 1.0)}, is_openmetrics=True)
    assert b'# {network="192.0.2.7"} 1.0 1.0\n' in shown[0]
    assert b"".join(page.texts(is_openmetrics=True)) == _written(samples, is_openmetrics=True)


@pytest.mark.parametrize("faulty", [("unheard_of", (), 1.0), ("size_bytes", ("x",), 1.0)])
def test_a_fault_costs_one_page(faulty: Sample) -> None:
    """The page after a sample that is in no catalogue is whole again."""
    page = KeptPage(_METRICS)
    samples: list[Sample] = [("lines_total", ("a", "x"), 1), ("size_bytes", (), 1)]
    page.take(samples)
    with pytest.raises((KeyError, ValueError)):
        page.take([("lines_total", ("a", "x"), 2), faulty])
    page.take(samples)
    assert b"".join(page.texts(is_openmetrics=False)) == _written(samples, is_openmetrics=False)


def test_kept_samples_follow_their_source() -> None:
    """They are made anew when the source is another one, and else are the same objects."""
    kept, made = KeptSamples(), []

    def make() -> list[Sample]:
        made.append(1)
        return [("size_bytes", (), len(made))]

    first = kept.of((1, "a"), make)
    assert kept.of((1, "a"), make) is first
    assert kept.of((2, "a"), make) == (("size_bytes", (), 2),)
