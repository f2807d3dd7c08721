"""What the tests of every detector share: samples, and a node to find them on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from monitor.detectors.registry import REGISTRATIONS
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import parse_address, parse_network
from monitor.model.events import Event
from monitor.model.flows import FlowBatch
from monitor.model.networks import Networks, Surrounding
from monitor.settings.detectors import Detectors
from tests.support.flows import NODE

S = TypeVar("S", bound=DetectorSettings)

FLOW_DETECTORS = tuple(one.name for one in REGISTRATIONS if FlowBatch in one.detector.takes)
"""Those that watch connections."""
SURROUNDING = Surrounding(own=frozenset([parse_address(NODE)]), protected=Networks([parse_network(NODE)]))
"""A node that knows its own address."""


class Samples(NamedTuple):
    """What proves a detector, whatever it counts: `SAMPLES` in `tests/unit/detectors/test_NAME.py`."""

    section: DetectorSettings
    """Its settings, with a threshold that is soon reached."""
    fires: Sequence[Event]
    """What raises one alert: with the last event, and not before."""
    quiet: Mapping[str, Sequence[Event]]
    """What must raise none although it looks alike, by the reason."""


def detectors(**sections: Any) -> Detectors:
    """Return the default section `detectors` with these sections and settings instead."""
    return replace(Detectors(), **sections)


def section_of(given: Detectors, settings: type[S]) -> S:
    """Return the section that is of this class."""
    return next(one for name in given.__struct_fields__ if type(one := getattr(given, name)) is settings)
