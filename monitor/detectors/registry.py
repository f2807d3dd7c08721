"""Every detector there is, found in the modules of this package.

A module with a module-level `DETECTOR` registers a detector, all others are shared parts. Nothing else lists detectors:
whoever needs one asks here by name, or by the class of its settings.
"""

import itertools
from collections.abc import Iterable
from typing import Any

from monitor import detectors
from monitor.detectors.detector import Detector
from monitor.detectors.registration import AnyRegistration, DetectorContext, NamedRegistration, Registration
from monitor.detectors.settings import DetectorSettings
from monitor.metrics.metric import Metric
from monitor.model.registered import registered


def in_order(registrations: Iterable[AnyRegistration]) -> tuple[AnyRegistration, ...]:
    """Return registrations by `order` and name; ValueError where two share a name or a settings class."""
    found = sorted(registrations, key=lambda one: (one.order, one.name))
    for known, one in itertools.combinations(found, 2):
        if known.name == one.name or known.settings is one.settings:
            both = f"{known.detector.__name__} and {one.detector.__name__}"
            raise ValueError(f"{both} share a name or a settings class: give each one of its own")
    return tuple(found)


ALL = in_order(registered(detectors, "DETECTOR"))
"""In the order of `status` and of the reference."""
REGISTRATIONS: tuple[Registration[Any], ...] = tuple(one for one in ALL if isinstance(one, Registration))
"""Those with a section of their own."""
NAMED: tuple[NamedRegistration[Any], ...] = tuple(one for one in ALL if isinstance(one, NamedRegistration))
"""Those that are configured by name."""
_BY_SETTINGS: dict[type[DetectorSettings], AnyRegistration] = {one.settings: one for one in ALL}


def build(name: str, section: DetectorSettings, context: DetectorContext) -> Detector[Any]:
    """Make the detector that a section of the configuration describes."""
    return _BY_SETTINGS[type(section)].build(name, section, context)


def metrics() -> tuple[Metric, ...]:
    """Return the metrics that single detectors have, each once although several may share it."""
    return tuple(dict.fromkeys(metric for one in ALL for metric in one.detector.metrics))
