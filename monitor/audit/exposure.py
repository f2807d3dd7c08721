"""Services of a node, and from where they can be reached: the verdicts of the kernel by protocol and port."""

from collections.abc import Iterable, Iterator

import msgspec

from monitor.audit.check import Check
from monitor.audit.components import Component, Endpoint, component_at
from monitor.audit.findings import Finding, RuleRef, Severity, Zone
from monitor.audit.reach import Listener, Outcome, Protocol, Reach, Verdict

_MANY = 4
"""Processes, or destinations, that a text names."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried at one port of the node, and who listens there."""

    protocol: Protocol
    port: int
    listeners: tuple[Listener, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    """Where probes end: the port itself, and where its translations lead."""
    is_untried: bool = False
    """It listens for the world, and no probe of the world asked for it."""

    @property
    def subject(self) -> str:
        """Return what findings are about, such as `tcp/10250`."""
        return f"{self.protocol}/{self.port}"

    @property
    def components(self) -> frozenset[Component]:
        """Return the parts of a control plane that a probe of this port meets."""
        return frozenset(part for endpoint in self.endpoints if (part := component_at(endpoint)) is not None)

    @property
    def translated(self) -> tuple[Verdict, ...]:
        """Return the verdicts with another destination than the probe named."""
        return tuple(verdict for verdict in self.verdicts if verdict.to_address)

    @property
    def is_beyond_loopback(self) -> bool:
        """Whether it listens on an address that others can name."""
        return any(not listener.is_loopback for listener in self.listeners)

    def with_outcome(self, outcome: Outcome, zones: Iterable[Zone] = Zone) -> tuple[Verdict, ...]:
        """Return the verdicts with an outcome for probes from these zones, in the order of the zones."""
        return tuple(
            verdict
            for zone in zones
            for verdict in self.verdicts
            if verdict.probe.zone is zone and verdict.outcome is outcome
        )

    def reached(self, *zones: Zone) -> tuple[Verdict, ...]:
        """Return the probes from these zones (all, if none is given) that arrived."""
        return self.with_outcome(Outcome.REACHED, zones or Zone)

    def unknown(self, *zones: Zone) -> str:
        """Return why nothing is known about these zones; empty if something is.

        A port that listens for the world and was not tried from there is unknown as well.
        """
        asked = zones or tuple(Zone)
        if unknown := self.with_outcome(Outcome.UNKNOWN, asked):
            return unknown[0].why or "the kernel gave no answer"
        return "it was not tried from world" if self.is_untried and Zone.WORLD in asked else ""

    @property
    def owner(self) -> str:
        """Return who answers, for people: process names, or where packets are translated to."""
        names = sorted({listener.process for listener in self.listeners if listener.process})
        parts = [", ".join(names[:_MANY])] if names else []
        if targets := sorted({f"{_bracketed(one.to_address)}:{one.to_port}" for one in self.translated}):
            parts.append(f"translated to {', '.join(targets[:_MANY])}")
        return "; ".join(parts) or "process unknown"


def services(reach: Reach) -> tuple[Service, ...]:
    """Group what was tried, and the listeners, by protocol and port."""
    listeners: dict[tuple[Protocol, int], list[Listener]] = {}
    verdicts: dict[tuple[Protocol, int], list[Verdict]] = {}
    for listener in reach.listeners:
        listeners.setdefault((listener.protocol, listener.port), []).append(listener)
    for verdict in reach.verdicts:
        verdicts.setdefault((verdict.probe.protocol, verdict.probe.port), []).append(verdict)
    node = frozenset(one.probe.address for one in reach.verdicts)
    world = frozenset(one.probe.address for one in reach.verdicts if one.probe.zone is Zone.WORLD)
    keys = sorted(listeners.keys() | verdicts.keys())
    return tuple(_service(key, listeners, verdicts.get(key, ()), node, world) for key in keys)


def _service(
    key: tuple[Protocol, int],
    listeners: dict[tuple[Protocol, int], list[Listener]],
    verdicts: Iterable[Verdict],
    node: frozenset[str],
    world: frozenset[str],
) -> Service:
    protocol, port = key
    tried = tuple(verdicts)
    own = tuple(listeners.get(key, ()))
    is_always_translated = bool(tried) and all(verdict.to_address for verdict in tried)
    endpoints = [] if is_always_translated else [Endpoint(port=port, listeners=own)]
    targets = {(verdict.to_address, verdict.to_port or port) for verdict in tried if verdict.to_address}
    for address, to_port in sorted(targets):
        local = tuple(one for one in listeners.get((protocol, to_port), ()) if _takes(one, address, node))
        endpoints.append(Endpoint(port=to_port, listeners=local))
    was_tried = any(verdict.probe.zone is Zone.WORLD for verdict in tried)
    return Service(
        protocol=protocol,
        port=port,
        listeners=own,
        verdicts=tried,
        endpoints=tuple(endpoints),
        is_untried=not was_tried and any(_is_for(listener, world) for listener in own),
    )


def _takes(listener: Listener, address: str, node: frozenset[str]) -> bool:
    """Whether a listener gets what is translated to an address: one for all addresses gets only the node's."""
    return listener.address == address or (address in node and listener.address in ("0.0.0.0", "::"))  # noqa: S104


def _is_for(listener: Listener, world: frozenset[str]) -> bool:
    """Whether a listener takes one of the addresses that the world can name; any, where none of them is known."""
    if listener.address in ("0.0.0.0", "::"):  # noqa: S104 - compared
        families = {True, False} if listener.address == "::" and not listener.is_v6_only else {":" in listener.address}
        return not world or any((":" in address) in families for address in world)
    return listener.address in world


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def show_origins(verdicts: Iterable[Verdict]) -> str:
    """Write from where probes came, such as `world (IPv4, IPv6), pods (IPv4)`."""
    found: dict[Zone, set[str]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.probe.zone, set()).add("IPv6" if verdict.probe.is_v6 else "IPv4")
    return ", ".join(f"{zone} ({', '.join(sorted(found[zone]))})" for zone in Zone if zone in found)


def zones_of(verdicts: Iterable[Verdict]) -> tuple[Zone, ...]:
    """Return the zones of some probes, each once."""
    found = {verdict.probe.zone for verdict in verdicts}
    return tuple(zone for zone in Zone if zone in found)


def opened_by(verdict: Verdict) -> RuleRef | None:
    """Return the rule that opens a port: for a translated one that which translates it, else that which decides."""
    translates = (step.rule for step in verdict.path if step.verdict.startswith(("dnat", "redirect", "tproxy")))
    return next(translates, verdict.decided_by) if verdict.to_address else verdict.decided_by


def exposed(
    check: Check, service: Service, label: str, *zones: Zone, severity: Severity | None = None
) -> Iterator[Finding]:
    """Yield a finding if a service is reached from these zones, or if that is unknown."""
    if reached := service.reached(*zones):
        text = f"{label} ({service.owner}) can be reached from {show_origins(reached)}"
        yield check.fail(service.subject, text, severity=severity, zones=zones_of(reached), rule=opened_by(reached[0]))
    elif why := service.unknown(*zones):
        yield check.unknown(service.subject, f"{label} ({service.owner}): {why}")


def beyond_loopback(check: Check, reach: Reach, component: Component) -> Iterator[Finding]:
    """Yield the services of a component that belongs on loopback, and is not there.

    As grave as the check says if a packet arrives from anywhere. If only the firewall keeps it closed, it is low.
    """
    for service in services(reach):
        if component not in service.components:
            continue
        found = tuple(exposed(check, service, component.label))
        if not found and service.is_beyond_loopback:
            addresses = sorted({one.address for one in service.listeners if not one.is_loopback})
            text = f"{component.label} ({service.owner}) listens on {', '.join(addresses[:_MANY])}: only the firewall"
            found = (check.fail(service.subject, f"{text} keeps it closed", severity=Severity.LOW),)
        yield from found
