"""How a detector registers itself: a module of this package that has one ends with `DETECTOR = Registration(...)`.

A registration ties the detector's class to its section of the configuration. Configuration, reference, `status`,
metrics and dispatch follow from it; `monitor.detectors.registry` finds it.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from monitor.detectors.detector import Detector
from monitor.detectors.settings import DetectorSettings

SettingsT = TypeVar("SettingsT", bound=DetectorSettings)


class DetectorContext(msgspec.Struct, frozen=True):
    """What a detector may depend on outside its own section of the configuration."""

    ipv6_prefix: int = 64
    """`bans.prefixes.ipv6_score`"""
    ipv6_48: int = 16
    """`bans.prefixes.ipv6_48`: offenders that ban a /48"""
    xdp_interfaces: tuple[str, ...] = ()
    """`bans.xdp.interfaces`"""


def _always(section: DetectorSettings, context: DetectorContext) -> bool:  # noqa: ARG001 - see Registration.is_wanted
    return True


class Registration(msgspec.Struct, Generic[SettingsT], frozen=True, kw_only=True):
    """One detector with a section of its own under `detectors`."""

    detector: type[Detector[Any]]
    settings: type[SettingsT]
    """Its section, with a default for every key."""
    summary: str
    """A sentence that describes the detector in the reference of the configuration."""
    make: Callable[[SettingsT, DetectorContext], Detector[Any]]
    is_wanted: Callable[[SettingsT, DetectorContext], bool] = _always
    """Whether the configuration gives it anything to detect; it is not made otherwise."""
    order: int = 100
    """Position in `status` and in the reference, lowest first, then by name."""

    @property
    def name(self) -> str:
        """The detector's name, and the key of its section."""
        return self.detector.name

    def build(self, name: str, section: SettingsT, context: DetectorContext) -> Detector[Any]:  # noqa: ARG002
        """Make the detector."""
        return self.make(section, context)


class NamedRegistration(msgspec.Struct, Generic[SettingsT], frozen=True, kw_only=True):
    """A kind of detector that is configured under as many names as there are applications, hosts or the like."""

    detector: type[Detector[Any]]
    settings: type[SettingsT]
    summary: str
    make: Callable[[str, SettingsT, DetectorContext], Detector[Any]]
    order: int = 100

    @property
    def name(self) -> str:
        """The name of the kind, and the key of the section that holds the named ones."""
        return self.detector.name

    def build(self, name: str, section: SettingsT, context: DetectorContext) -> Detector[Any]:
        """Make the detector of a name."""
        return self.make(name, section, context)


AnyRegistration: TypeAlias = Registration[Any] | NamedRegistration[Any]
