"""From settings to stages: the one place where each setting takes effect."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from monitor.bans import allowlist
from monitor.bans.escalation import Increment
from monitor.bans.guard import Guard
from monitor.bans.ladder import steps_of
from monitor.bans.rules import Rules
from monitor.config.types import PortRange
from monitor.daemon.pipeline import network_rules
from monitor.daemon.pipeline.carry_over import CarryOver
from monitor.daemon.pipeline.shadows import Shadows
from monitor.detectors.detector import Detector
from monitor.detectors.registration import DetectorContext, Registration
from monitor.detectors.registry import REGISTRATIONS, build
from monitor.detectors.routes import Route
from monitor.detectors.settings import DetectorSettings
from monitor.model.bans import AllowEntry, Mode
from monitor.model.clients import Clients
from monitor.model.networks import Networks, NodeNetworks, Surrounding
from monitor.model.pods import Pods
from monitor.model.services import Services
from monitor.model.sysctls import KERNEL_PORTS, Ports, Sysctls
from monitor.node import kernel_settings
from monitor.node.addresses import OWN_ADDRESS
from monitor.node.kubernetes import POD_NETWORK
from monitor.settings.presets import preset_entries
from monitor.settings.schema import Settings

_NONE: Mapping[str, DetectorSettings] = MappingProxyType({})
_NO_ROUTES: Mapping[str, Route] = MappingProxyType({})


def wanted(settings: Settings) -> Iterator[Registration[Any]]:
    """Yield the registered detectors that the configuration gives anything to detect."""
    context = _context(settings)
    for registration in REGISTRATIONS:
        if registration.is_wanted(settings.detectors.section(registration.name), context):
            yield registration


def build_one(settings: Settings, name: str, section: DetectorSettings) -> Detector[Any]:
    """Make the detector of one section, which need not be that of the settings."""
    return build(name, section, _context(settings))


def build_detectors(
    settings: Settings,
    named: Mapping[str, DetectorSettings] = _NONE,
    old: Sequence[Detector[Any]] = (),
    carry: CarryOver | None = None,
) -> list[Detector[Any]]:
    """Make the detectors that the configuration describes; with `carry`, they keep what `old` ones counted.

    `named` are the sections of detectors that are configured by name, such as those that watch logs.
    """
    known = {detector.name: detector for detector in old}
    context = _context(settings)
    made = [build(name, section, context) for name, section in sections_of(settings, named).items()]
    if carry is None:
        return made
    detectors = [carry.follow(one, known.get(one.name)) for one in made]
    carry.dropped(old, detectors)
    return detectors


def build_routes(
    settings: Settings,
    named: Mapping[str, DetectorSettings],
    detectors: Sequence[Detector[Any]],
    old: Mapping[str, Route] = _NO_ROUTES,
    carry: CarryOver | None = None,
) -> dict[str, Route]:
    """Return, by name, the routes of the detectors that have rules for single networks; `carry` as above."""
    return network_rules.routes(sections_of(settings, named), detectors, _context(settings), old, carry)


def build_shadows(
    settings: Settings,
    named: Mapping[str, DetectorSettings],
    detectors: Sequence[Detector[Any]],
    routes: Mapping[str, Route],
    shadows: Shadows,
    carry: CarryOver,
) -> None:
    """Have the copies of detectors follow the configuration: those with thresholds that only count."""
    shadows.follow_settings(sections_of(settings, named), detectors, routes, _context(settings), carry)


def build_rules(settings: Settings, named: Mapping[str, DetectorSettings] = _NONE) -> Rules:
    """Return how the alerts of each detector are answered."""
    bans = settings.bans
    increment = bans.increment
    sections = sections_of(settings, named)
    rungs = {name: getattr(bans.prefixes, name) for name in ("ipv4_24", "ipv6_64", "ipv6_56", "ipv6_48")}
    return Rules(
        detectors={
            name: network_rules.policy(name, section, observes=settings.mode is Mode.OBSERVE)
            for name, section in sections.items()
        },
        bans_per_minute=bans.budget.bans_per_minute,
        increment=Increment(**{name: getattr(increment, name) for name in increment.__struct_fields__}),
        escalate_spoofable=bans.escalate_spoofable,
        recidive_maxretry=bans.recidive.maxretry if bans.recidive.enabled else 0,
        recidive_findtime_s=bans.recidive.findtime_s,
        recidive_bantime_s=bans.recidive.bantime_s,
        ladder=tuple(steps_of(rungs)),
        ladder_findtime_s=bans.prefixes.findtime_s,
    )


def build_guard(
    settings: Settings, added: Iterable[AllowEntry], node: Iterable[AllowEntry], ignored: Iterable[AllowEntry] = ()
) -> Guard:
    """Make the guard of what is configured, what was added by command, what the node needs, what fail2ban ignores.

    It is bounded: `Guard.omitted` counts what does not fit.
    """
    configured = [AllowEntry(network, "bans.allowlist in the configuration") for network in settings.bans.allowlist]
    return Guard(
        *allowlist.admit(
            {
                allowlist.CONFIGURED: configured,
                allowlist.PRESETS: preset_entries(settings.bans.presets),
                allowlist.BY_COMMAND: list(added),
                allowlist.NODE: list(node),
                allowlist.IGNORED: list(ignored),
            }
        )
    )


def build_surrounding(
    settings: Settings,
    guard: Guard,
    node: Iterable[AllowEntry],
    networks: NodeNetworks,
    sysctls: Sysctls,
    services: Services | None = None,
    clients: Clients | None = None,
    names: Pods | None = None,
) -> Surrounding:
    """Return who is where.

    `node` are the entries that the node needs, `networks` those around it; services and clients are learned; `names`
    tells which pod has an address.
    """
    entries = list(node)
    pods = [entry.network for entry in entries if entry.reason.startswith(POD_NETWORK)]
    known_pods = Networks(pods)
    # pods of the cluster on other nodes are reached by an uplink, and count as pods all the same
    elsewhere = [network for network in networks.elsewhere if network.address not in known_pods]
    internal = settings.bans.internal
    return Surrounding(
        own=frozenset(entry.network.address for entry in entries if entry.reason == OWN_ADDRESS),
        pods=known_pods,
        protected=Networks(guard.networks()),
        services=Services() if services is None else services,
        clients=Clients() if clients is None else clients,
        names=Pods() if names is None else names,
        connected=Networks(networks.connected),
        behind=Networks([*networks.behind, *pods], holes=elsewhere),
        internal=Networks([*internal.networks, *(networks.inner if internal.connected else ())]),
        spares_internal=internal.mode is Mode.OBSERVE,
        client_ports=Ports({sysctls.local_ports or KERNEL_PORTS, *_configured_ports(settings)}),
    )


def uncovered_ports(settings: Settings, sysctls: Sysctls) -> list[str]:
    """Return a notice if the configured ports of clients are not those that the kernel gives to clients."""
    first, last = sysctls.local_ports or KERNEL_PORTS
    return [
        f"detectors.ephemeral_ports ({low}-{high}) does not contain net.ipv4.ip_local_port_range ({first}-{last}): "
        "both are taken for ports of clients"
        for low, high in _configured_ports(settings)
        if not low <= first <= last <= high
    ]


def kernel_uses(settings: Settings) -> frozenset[str]:
    """Return what of `kernel_settings` the configuration uses."""
    sources = settings.sources
    uses = {kernel_settings.KERNEL_LOG} if sources.kernel_log.enabled else set()
    if sources.conntrack.enabled:
        uses |= {kernel_settings.CONNTRACK, kernel_settings.HANDSHAKES}
        uses |= {kernel_settings.AMPLIFICATION} & {one.name for one in wanted(settings)}
    return frozenset(uses)


def _configured_ports(settings: Settings) -> list[tuple[int, int]]:
    ports = settings.detectors.ephemeral_ports
    return [(ports.first, ports.last)] if isinstance(ports, PortRange) else []


def _context(settings: Settings) -> DetectorContext:
    return DetectorContext(
        ipv6_prefix=settings.bans.prefixes.ipv6_score,
        ipv6_48=settings.bans.prefixes.ipv6_48,
        xdp_interfaces=settings.bans.xdp.interfaces,
    )


def sections_of(settings: Settings, named: Mapping[str, DetectorSettings]) -> dict[str, DetectorSettings]:
    """Return the sections of all detectors that are to be made, in the order of `status`."""
    return {one.name: settings.detectors.section(one.name) for one in wanted(settings)} | dict(named)
