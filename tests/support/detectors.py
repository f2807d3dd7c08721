"""Shared by the tests of all detectors: samples, and a node."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import parse_address, parse_network
from monitor.model.events import Event
from monitor.model.networks import Networks, Surrounding
from tests.support.flows import NODE

SURROUNDING = Surrounding(own=frozenset([parse_address(NODE)]), protected=Networks([parse_network(NODE)]))
"""A node that knows its own address."""


class Samples(NamedTuple):
    """Events that test a detector, whatever it counts: `SAMPLES` in `tests/unit/detectors/test_NAME.py`."""

    section: DetectorSettings
    """Its settings, with a low threshold."""
    fires: Sequence[Event]
    """Events that raise one alert, with the last event and not before."""
    quiet: Mapping[str, Sequence[Event]]
    """Similar events that must not raise an alert, by the reason."""
