"""From settings to stages: the one place where each setting finds its use."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from monitor.bans.escalation import Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import steps_of
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.daemon.pipeline.dispatch import Detector
from monitor.daemon.pipeline.flow_wiring import build_flow_detectors, is_watched
from monitor.detectors.distinct import Thresholds
from monitor.detectors.failures import FailuresDetector, FailureThresholds
from monitor.detectors.host_sweep import host_sweep
from monitor.detectors.port_scan import port_scan
from monitor.model.bans import AllowEntry
from monitor.model.names import DROP_DETECTORS, FLOW_DETECTORS, PACKET_DETECTORS, SENDER_DETECTORS
from monitor.settings.logs import Failures
from monitor.settings.schema import HostSweep, PortScan, Settings

_DETECTORS = dict(zip(PACKET_DETECTORS, (port_scan, host_sweep), strict=True))
"""The detectors of packets: the name of each, which is its section in the configuration, and what makes it."""

_NO_FAILURES: Mapping[str, Failures] = MappingProxyType({})


def build_detectors(
    settings: Settings, failures: Mapping[str, Failures] = _NO_FAILURES, old: Sequence[Detector] = ()
) -> list[Detector]:
    """Make the detectors that the configuration describes; an old one with the same thresholds keeps its window.

    `failures` are those that watch logs, with the names they run under.
    """
    kept = {detector.name: detector for detector in old}
    detectors: list[Detector] = []
    for name, make in _DETECTORS.items():
        thresholds = _thresholds(settings, _section(settings, name))
        known = kept.get(name)
        detectors.append(known if known and known.thresholds == thresholds else make(thresholds))
    detectors += build_flow_detectors(settings, kept)
    for name, section in failures.items():
        limits = FailureThresholds(
            section.findtime_s, section.maxretry, section.max_entries, settings.bans.prefixes.ipv6_score
        )
        known = kept.get(name)
        detectors.append(known if known and known.thresholds == limits else FailuresDetector(name, limits))
    return detectors


def _thresholds(settings: Settings, section: PortScan | HostSweep) -> Thresholds:
    ports = settings.detectors.ephemeral_ports
    return Thresholds(
        section.findtime_s,
        section.maxretry,
        section.max_entries,
        range(ports.first, ports.last + 1),
        settings.bans.prefixes.ipv6_score,
    )


def build_rules(settings: Settings, failures: Mapping[str, Failures] = _NO_FAILURES) -> Rules:
    """Say how alerts are answered, those of packets and those of `failures` in logs."""
    bans = settings.bans
    others = (*FLOW_DETECTORS, *DROP_DETECTORS, *SENDER_DETECTORS)
    names = [*PACKET_DETECTORS, *(name for name in others if is_watched(settings, name))]
    sections = {name: getattr(settings.detectors, name) for name in names} | dict(failures)
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


def build_guard(
    settings: Settings, added: Iterable[AllowEntry], node: Iterable[AllowEntry], ignored: Iterable[AllowEntry] = ()
) -> Guard:
    """Make the guard of what is configured, what was added by command, what the node needs, what fail2ban ignores."""
    configured = [AllowEntry(network, "bans.allowlist in the configuration") for network in settings.bans.allowlist]
    return Guard([*configured, *added, *node, *ignored])
