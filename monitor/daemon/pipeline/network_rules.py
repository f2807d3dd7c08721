"""Rules of detectors for single networks, from settings to routes and policies."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monitor.bans.rules import DetectorPolicy, NetworkPolicy
from monitor.daemon.pipeline.carry_over import CarryOver
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
    carry: CarryOver | None = None,
) -> dict[str, Route]:
    """Return the routes of the detectors that count single networks apart or not at all, by name.

    With `carry`, what counts a network apart keeps what an `old` route counted of it.
    """
    made = {}
    for base in detectors:
        section = sections[base.name]
        targets: dict[Network, Detector[Any] | None] = dict.fromkeys(section.allowlist)
        used = [base]
        before = old.get(base.name)
        for network, inner in _inner(section).items():
            new = build(base.name, inner, context)
            same = next((one for one in used if one.recipe == new.recipe), None)
            if same is None:
                same = carry.follow(new, _apart(before, network, new), network) if carry else new
                used.append(same)
            targets[network] = same
        if any(target is not base for target in targets.values()):
            made[base.name] = Route(base, targets)
    return made


def _apart(old: Route | None, network: Network, new: Detector[Any]) -> Detector[Any] | None:
    """Return what counted a network apart before: with the same thresholds, else that of the network itself."""
    if old is None:
        return None
    same = next((one for one in old.variants if one.recipe == new.recipe), None)
    return same or next((one for one in old.variants if one is old.targets.get(network)), None)


def _inner(section: DetectorSettings) -> dict[Network, DetectorSettings]:
    """Return the section as it is for each network with rules of its own."""
    alone = section.without_shadow
    return {
        parse_network(name): msgspec.structs.replace(alone, networks={}, allowlist=(), **rule.changes())
        for name, rule in section.networks.items()
    }


def _maxretry(section: DetectorSettings) -> int:
    return section.limits(64).maxretry
