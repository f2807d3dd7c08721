"""The list of sources: a line each. Configuration, metrics, `status` and `doctor` follow from it."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from monitor.config.types import PortRange
from monitor.model.sysctls import KERNEL_PORTS
from monitor.node.sysctls import read_sysctls
from monitor.settings.schema import Settings
from monitor.sources.conntrack.registration import REGISTRATION as CONNTRACK
from monitor.sources.drops.registration import REGISTRATION as DROPS
from monitor.sources.drops.settings import DropCounting
from monitor.sources.journal.registration import REGISTRATION as JOURNAL
from monitor.sources.kmsg.registration import REGISTRATION as KERNEL_LOG
from monitor.sources.registration import Registration
from monitor.sources.tail.registration import REGISTRATION as FILES
from monitor.sources.xdp.registration import REGISTRATION as XDP
from monitor.sources.xdp.settings import XdpSettings

_SettingsT = TypeVar("_SettingsT")


class Configured(msgspec.Struct, Generic[_SettingsT], frozen=True):
    """A source, and what of the whole configuration is its own."""

    source: Registration[_SettingsT]
    settings_in: Callable[[Settings], _SettingsT]
    switch: str
    """The setting that switches it on."""
    is_on: Callable[[_SettingsT], bool]

    def is_on_in(self, settings: Settings) -> bool:
        """Whether the configuration has it on."""
        return self.is_on(self.settings_in(settings))


def _xdp_settings(settings: Settings) -> XdpSettings:
    return XdpSettings(settings.bans.xdp.interfaces, settings.bans.max_bans)


def _drop_counting(settings: Settings) -> DropCounting:
    """Return what to count; the program takes one range of ports: that around the configured one and the kernel's."""
    detectors = settings.detectors
    first, last = read_sysctls().local_ports or KERNEL_PORTS
    if isinstance(ports := detectors.ephemeral_ports, PortRange):
        first, last = min(first, ports.first), max(last, ports.last)
    return DropCounting(settings.sources.drops, detectors.drop_rate.overlay_peers, PortRange(first, last))


def _enabled(section: Any) -> bool:
    return bool(section.enabled)


_ROWS = (
    Configured(KERNEL_LOG, lambda settings: settings.sources.kernel_log, "sources.kernel_log.enabled", _enabled),
    Configured(CONNTRACK, lambda settings: settings.sources.conntrack, "sources.conntrack.enabled", _enabled),
    Configured(DROPS, _drop_counting, "sources.drops.enabled", lambda own: own.section.enabled),
    Configured(XDP, _xdp_settings, "bans.xdp.interfaces", lambda own: bool(own.interfaces)),
    Configured(JOURNAL, lambda settings: settings.sources.journal, "sources.journal.enabled", _enabled),
    Configured(FILES, lambda settings: settings.sources.files, "sources.files.enabled", _enabled),
)

SOURCES: tuple[Configured[Any], ...] = _ROWS
"""All sources, in the order in which they are opened and shown."""
