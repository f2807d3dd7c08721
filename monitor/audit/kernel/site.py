"""What surrounds the rules: interfaces, addresses, routes and sysctls of the node."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_POD_BRIDGES = ("cni", "cbr", "docker", "br-", "podman", "virbr", "lxdbr", "lxcbr", "incusbr", "nerdctl", "kube-bridge")
MAX_LINKS = 256
MAX_ROUTES = 4096
_MAX_ADDRESSES = 64


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An interface."""

    name: str
    kind: str = ""
    """As in `ip -d link`: `bridge`, `veth`, `vrf`; empty for hardware."""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    """As `10.0.0.1/24`; without those that are only valid on the link."""
    group: str = ""
    """As ip(8) names it; empty for the group of all interfaces."""
    is_loopback: bool = False
    is_up: bool = True
    """Whether the operator enabled it: packets come in over no other."""

    def interfaces(self) -> Iterator[IPInterface]:
        """Yield the addresses with their networks."""
        return map(ipaddress.ip_interface, self.addresses)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the main table to one interface."""

    to: str
    """A network; `0.0.0.0/0` or `::/0` for the default."""
    link: str
    via: str = ""
    metric: int = 0

    @property
    def is_v6(self) -> bool:
        """Whether it is for IPv6."""
        return ":" in self.to

    @property
    def is_default(self) -> bool:
        """Whether it leads to everywhere."""
        return self.to.endswith("/0")

    def command(self) -> str:
        """Return the arguments of `ip route replace` for it."""
        hop = f" via {self.via}" if self.via and (":" in self.via) == self.is_v6 else ""
        return f"{self.to}{hop} dev {self.link} {'onlink ' if hop else ''}metric {self.metric}".rstrip()


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The node, as far as packets meet it."""

    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: Mapping[str, str] = {}
    """By path below /proc/sys."""
    blind: tuple[str, ...] = ()
    """What decides on packets and cannot be copied."""
    loss: tuple[str, ...] = ()

    def link(self, name: str) -> Link | None:
        """Return an interface; None if there is none."""
        return next((link for link in self.links if link.name == name), None)

    def uplinks(self, *, is_v6: bool) -> list[Link]:
        """Return the interfaces to the world: those of the default routes; without one, all that are not for pods."""
        routes = sorted((r for r in self.routes if r.is_default and r.is_v6 == is_v6), key=lambda route: route.metric)
        found = [link for name in dict.fromkeys(route.link for route in routes) if (link := self.link(name))]
        others = (link for link in self.links if link.is_up and not link.is_loopback)
        return found or [link for link in others if not self.is_for_pods(link)]

    def is_for_pods(self, link: Link) -> bool:
        """Whether pods, containers or guests of this node are behind an interface."""
        if (
            link.is_loopback
            or not link.is_up
            or any(route.is_default and route.link == link.name for route in self.routes)
        ):
            return False
        if link.name.startswith(_POD_BRIDGES):
            return True
        return not link.addresses and any(True for _ in self.host_routes(link))

    def host_routes(self, link: Link) -> Iterator[str]:
        """Yield the single addresses that are routed to an interface, as some CNIs do for each pod."""
        for route in self.routes:
            if route.link == link.name and not route.via:
                network = ipaddress.ip_network(route.to)
                if network.num_addresses == 1:
                    yield str(network.network_address)


def read_links(data: Sequence[Mapping[str, Any]]) -> tuple[Link, ...]:
    """Return the interfaces that `ip -j -d addr` lists, those with addresses first, at most 256."""
    found = [_link(one) for one in data if isinstance(one.get("ifname"), str)]
    found.sort(key=lambda link: (not link.is_loopback, not link.addresses))
    return tuple(found[:MAX_LINKS])


def _link(one: Mapping[str, Any]) -> Link:
    mac = str(one.get("address", ""))
    flags = one.get("flags", ())
    return Link(
        name=one["ifname"],
        kind=str((one.get("linkinfo") or {}).get("info_kind", "")),
        mac=mac if one.get("link_type") == "ether" and mac.strip("0:") else "",
        group=str(one.get("group", "default")).removeprefix("default"),
        addresses=tuple(_addresses(one.get("addr_info", ())))[:_MAX_ADDRESSES],
        is_loopback="LOOPBACK" in flags,
        is_up="UP" in flags,
    )


def _addresses(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        local, length = one.get("local"), one.get("prefixlen")
        if one.get("scope") == "link" and ":" in str(local):
            continue
        try:
            yield str(ipaddress.ip_interface(f"{local}/{length}"))
        except ValueError:
            continue


def read_routes(data: Sequence[Mapping[str, Any]], *, is_v6: bool) -> Iterator[Route]:
    """Yield the unicast routes that `ip -j route show table main` lists, at most 4,096; of several hops the first."""
    for one in data[:MAX_ROUTES]:
        hop = (one.get("nexthops") or [one])[0]
        link, via = hop.get("dev"), hop.get("gateway") or (hop.get("via") or {}).get("host", "")
        if one.get("type", "unicast") != "unicast" or not isinstance(link, str) or "linkdown" in one.get("flags", ()):
            continue
        to = one.get("dst", "")
        try:
            network = ipaddress.ip_network({"default": "::/0" if is_v6 else "0.0.0.0/0"}.get(to, to))
        except ValueError:
            continue
        if not network.is_multicast and not network.is_link_local:
            yield Route(to=str(network), link=link, via=str(via), metric=int(one.get("metric", 0)))
