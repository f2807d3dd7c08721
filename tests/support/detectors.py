"""What the tests of every detector share: samples, and a node to find them on."""

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
    """Events that prove a detector, whatever it counts: `SAMPLES` in `tests/unit/detectors/test_NAME.py`."""

    section: DetectorSettings
    """Its settings, with a threshold that is soon reached."""
    fires: Sequence[Event]
    """Events that raise one alert: with the last event, and not before."""
    quiet: Mapping[str, Sequence[Event]]
    """Events that must raise none although they look alike, by the reason."""
