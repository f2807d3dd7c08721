"""Each value of a closed set has a colour of its own on every board, and green is for what is well."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dashboards import colours
from monitor.daemon.catalogue import METRICS
from monitor.detectors.registry import REGISTRATIONS
from tests.support.dashboards import NAMES, load, panels
from tests.support.label_values import CLOSED, closed_values

_NOT_COLOURED = {
    "fate": "named otherwise",
    "foreign": "part of other names",
    "tunnelled": "part of other names",
    "listener": "any of them is a fault",
    "part": "a table, in `status`",
    "server": "not shown",
}
"""Closed sets that no series is named after, and why."""
_LABEL = re.compile(r"\{\{(\w+)\}\}")


def _curves(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels(load(name)):
        if panel["type"] == "timeseries":
            yield panel["title"], panel


def _fixed(panel: dict[str, Any]) -> dict[str, str]:
    """Return the colour of each series that has one, by its name; the last override decides."""
    return {
        one["matcher"]["options"]: prop["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
        for prop in one["properties"]
        if prop["id"] == "color"
    }


def _names(legend: str) -> list[str]:
    """Return what the series of a legend are called; nothing if one of its labels is open."""
    labels = _LABEL.findall(legend)
    if not all(label in colours.VALUES for label in labels):
        return []
    made = []
    for chosen in itertools.product(*(colours.VALUES[label] for label in labels)):
        name = legend
        for label, value in zip(labels, chosen, strict=True):
            name = name.replace(f"{{{{{label}}}}}", value)
        made.append(name)
    return made if len(labels) < 2 or len(made) <= 24 else []


@pytest.mark.parametrize("label", sorted(set(CLOSED) - set(_NOT_COLOURED)))
def test_every_value_of_a_closed_set_has_a_colour(label: str) -> None:
    """A new verdict or cause has one as well, before anybody sees it in the colour of another."""
    known = {value for values in CLOSED[label].values() for value in values}
    assert known <= set(colours.VALUES[label]) | _of_trials(label)


def _of_trials(label: str) -> set[str]:
    """Return values of metrics that no board shows."""
    return set(closed_values("nodewarden_trials_total", label)) if label == "result" else set()


def test_closed_sets_are_those_of_metrics() -> None:
    """Labels of the table are labels of metrics; those that no metric has any more would be left over."""
    there = {label for metric in METRICS for label in metric.labels}
    assert set(CLOSED) <= there
    assert REGISTRATIONS


@pytest.mark.parametrize("name", NAMES)
def test_series_have_the_same_colour_whatever_else_is_shown(name: str) -> None:
    """Every series whose name is known beforehand has a fixed colour; others have one that follows from their name."""
    for title, panel in _curves(name):
        fixed = _fixed(panel)
        for target in panel["targets"]:
            assert set(_names(target["legendFormat"])) <= set(fixed), title
        assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "palette-classic-by-name", title


@pytest.mark.parametrize("name", NAMES)
def test_green_is_for_what_is_well(name: str) -> None:
    """`failure`, `approved: no` and what the kernel refuses are not green, nor is anything else but what is well."""
    for title, panel in _curves(name):
        green = {series for series, colour in _fixed(panel).items() if "green" in colour}
        assert green <= colours.IS_GOOD, title


def test_series_of_one_panel_are_told_apart() -> None:
    """No two series of one panel have one colour, where they are few enough."""
    for name in NAMES:
        for title, panel in _curves(name):
            fixed = _fixed(panel)
            plain = [target["legendFormat"] for target in panel["targets"] if "{{" not in target["legendFormat"]]
            used = [fixed[one] for one in plain if "usually" not in one]
            assert len(set(used)) == len(used), title
