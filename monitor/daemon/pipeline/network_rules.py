"""Rules of detectors for single networks, from settings to routes and policies."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monitor.bans.rules import DetectorPolicy, NetworkPolicy
from monitor.detectors.detector import Detector
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import build
from monitor.detectors.routes import Route
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import AllowEntry, Mode
from monitor.model.network_map import NetworkMap


def policy(name: str, section: DetectorSettings, *, observes: bool = False) -> DetectorPolicy:
    """Return how the alerts of a detector are answered; `observes`: nothing bans, whatever the section says."""
    networks: dict[Network, NetworkPolicy] = {}
    for network, inner in _inner(section).items():
        networks[network] = NetworkPolicy(
            Mode.OBSERVE if observes else inner.mode, inner.bantime_s, inner.findtime_s, _maxretry(inner)
        )
    for network in section.allowlist:
        allowed = AllowEntry(network, f"the allowlist of detector {name}")
        networks[network] = NetworkPolicy(
            Mode.OBSERVE, section.bantime_s, section.findtime_s, _maxretry(section), allowed
        )
    known = NetworkMap(networks) if networks else None
    return DetectorPolicy(
        Mode.OBSERVE if observes else section.mode, section.bantime_s, ports=section.packed_ports, networks=known
    )


def routes(
    sections: Mapping[str, DetectorSettings],
    detectors: Sequence[Detector[Any]],
    context: DetectorContext,
    old: Mapping[str, Route],
) -> dict[str, Route]:
    """Return the routes of the detectors that count single networks apart or not at all, by name.

    A detector of an `old` route is kept with everything it remembers if its recipe is the same.
    """
    made = {}
    for base in detectors:
        section = sections[base.name]
        targets: dict[Network, Detector[Any] | None] = dict.fromkeys(section.allowlist)
        known = [base, *(old[base.name].variants if base.name in old else ())]
        for network, inner in _inner(section).items():
            new = build(base.name, inner, context)
            same = next((one for one in known if one.recipe == new.recipe), None)
            if same is None:
                known.append(new)
            targets[network] = new if same is None else same
        if any(target is not base for target in targets.values()):
            made[base.name] = Route(base, targets)
    return made


def _inner(section: DetectorSettings) -> dict[Network, DetectorSettings]:
    """Return the section as it is for each network with rules of its own."""
    return {
        parse_network(name): msgspec.structs.replace(section, networks={}, allowlist=(), **rule.changes())
        for name, rule in section.networks.items()
    }


def _maxretry(section: DetectorSettings) -> int:
    return section.limits(64).maxretry
