"""From settings to stages: the one place where each setting finds its use."""

from collections.abc import Iterable, Sequence

from monitor.bans.escalation import Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import steps_of
from monitor.bans.policy import DetectorPolicy, Rules
from monitor.config.schema import HostSweep, PortScan, Settings
from monitor.detectors.distinct import DistinctDetector, Thresholds
from monitor.detectors.host_sweep import host_sweep
from monitor.detectors.port_scan import port_scan
from monitor.model.bans import AllowEntry

_DETECTORS = {"port_scan": port_scan, "host_sweep": host_sweep}
"""Every detector there is: its name, which is its section in the configuration, and what makes it."""


def build_detectors(settings: Settings, old: Sequence[DistinctDetector] = ()) -> list[DistinctDetector]:
    """Make the detectors that the configuration describes; an old one with the same thresholds keeps its window."""
    kept = {detector.name: detector for detector in old}
    ports = settings.detectors.ephemeral_ports
    detectors = []
    for name, make in _DETECTORS.items():
        section = _section(settings, name)
        thresholds = Thresholds(
            section.findtime_s,
            section.maxretry,
            section.max_entries,
            range(ports.first, ports.last + 1),
            settings.bans.prefixes.ipv6_score,
        )
        known = kept.get(name)
        detectors.append(known if known and known.thresholds == thresholds else make(thresholds))
    return detectors


def build_rules(settings: Settings) -> Rules:
    """Say how alerts are answered."""
    bans = settings.bans
    sections = {name: _section(settings, name) for name in _DETECTORS}
    increment = bans.increment
    rungs = {name: getattr(bans.prefixes, name) for name in ("ipv4_24", "ipv6_64", "ipv6_56", "ipv6_48")}
    return Rules(
        detectors={name: DetectorPolicy(section.mode, section.bantime_s) for name, section in sections.items()},
        bans_per_minute=bans.budget.bans_per_minute,
        increment=Increment(**{name: getattr(increment, name) for name in increment.__struct_fields__}),
        escalate_spoofable=bans.escalate_spoofable,
        recidive_maxretry=bans.recidive.maxretry if bans.recidive.enabled else 0,
        recidive_findtime_s=bans.recidive.findtime_s,
        recidive_bantime_s=bans.recidive.bantime_s,
        ladder=tuple(steps_of(rungs)),
        ladder_findtime_s=bans.prefixes.findtime_s,
    )


def _section(settings: Settings, name: str) -> PortScan | HostSweep:
    section: PortScan | HostSweep = getattr(settings.detectors, name)
    return section


def build_guard(settings: Settings, added: Iterable[AllowEntry], node: Iterable[AllowEntry]) -> Guard:
    """Make the guard of what is configured, what was added by command and what the node needs."""
    configured = [AllowEntry(network, "bans.allowlist in the configuration") for network in settings.bans.allowlist]
    return Guard([*configured, *added, *node])
