"""What is asked: which ports of which addresses, from which zones."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.audit.findings import Zone
from monitor.audit.kernel.job import Question
from monitor.audit.kernel.origins import Origin
from monitor.audit.kernel.rules_text import TableText
from monitor.audit.kernel.site import Link, Site
from monitor.audit.reach import Listener, Probe, Protocol

_DPORT = re.compile(rb"(?:(tcp|udp|th) )?dport (?:vmap |map )?(\{[^}]*\}|[\d-]+)")
_NUMBER = re.compile(rb"\b(\d{1,5})(?:-(\d{1,5}))?\b")
_DADDR = re.compile(rb"ip6? daddr ([0-9a-f.:]+)(?:/\d+)?\b")
_TRANSLATES = (b"dnat", b"redirect", b"tproxy", b"jump", b"goto", b"vmap", b"map")
_ELEMENT = re.compile(rb"(?:([0-9a-f.:]+) \. )?(?:(tcp|udp) \. )?(\d{1,5})(?: \. (tcp|udp))? : ")
_MAX_PORT = 65535
MAX_TRANSLATED = 4096
MAX_QUESTIONS = 20_000
_MAX_TARGETS = 4
_LOOPBACK = "127.0.0.1"
_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")
_UNNAMED = ((7, 1, 18, 38, 84), (61337, 61003, 60907, 59999))
"""Low and high ports that hardly any rule names."""
Port = tuple[Protocol, int]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question and what its answer is about."""

    probe: Probe
    question: Question
    has_listener: bool
    is_unnamed: bool = False
    """It asks what becomes of a port that no rule names."""


def translated_ports(tables: Iterable[TableText], addresses: frozenset[str]) -> set[Port]:
    """Return ports that rules may translate for the node's addresses: too many rather than too few, at most 4,096.

    Whether a rule does translate a port is what the packets find out.
    """
    found: set[Port] = set()
    for table in tables:
        if not (table.has_translation or b"tproxy" in table.text):
            continue
        for chain in table.chains.values():
            for line in chain.rules:
                if b"dport" in line and any(word in line for word in _TRANSLATES):
                    found.update(_of_rule(line, addresses))
        for element in _ELEMENT.finditer(_maps(table)):
            if element[1] is None or element[1].decode() in addresses:
                found.update(_ports(element[2] or element[4], int(element[3]), 0))
        if len(found) > MAX_TRANSLATED:
            break
    return set(sorted(found)[:MAX_TRANSLATED])


def _maps(table: TableText) -> bytes:
    """Return the elements of the named maps of a table."""
    return b"\n".join(re.findall(rb"^\tmap [^\n]*\n(.*?)^\t\}", table.text, re.MULTILINE | re.DOTALL))


def _of_rule(line: bytes, addresses: frozenset[str]) -> Iterator[Port]:
    target = _DADDR.search(line)
    if target and target[1].decode() not in addresses and b"/" not in target[0]:
        return
    default = b"udp" if b"l4proto udp" in line else b"tcp" if b"l4proto tcp" in line else b""
    for named, ports in _DPORT.findall(line):
        protocol = named if named in (b"tcp", b"udp") else default
        for first, last in _NUMBER.findall(re.sub(rb" : [^,}]*", b"", ports)):
            yield from _ports(protocol, int(first), int(last or 0))


def _ports(protocol: bytes | None, first: int, last: int) -> Iterator[Port]:
    """Yield the port, or of a range the first and the last one."""
    for port in dict.fromkeys((first, last)):
        if 0 < port <= _MAX_PORT:
            if protocol != b"udp":
                yield "tcp", port
            if protocol != b"tcp":
                yield "udp", port


def named_addresses(tables: Iterable[TableText], addresses: frozenset[str]) -> frozenset[str]:
    """Return those of the node's addresses that rules name, if it has more than are asked anyway."""
    if len(addresses) <= _MAX_TARGETS:
        return frozenset()
    texts = [table.text for table in tables]
    return frozenset(one for one in addresses if any(one.encode() in text for text in texts))


def unnamed_ports(listeners: Iterable[Listener], translated: Iterable[Port]) -> tuple[Port, ...]:
    """Return a low and a high port of each protocol that are free and no service of their own."""
    taken = {(one.protocol, one.port) for one in listeners} | set(translated)
    found: list[Port] = []
    for protocol in _PROTOCOLS:
        for ports in _UNNAMED:
            found += [(protocol, port) for port in ports if (protocol, port) not in taken][:1]
    return tuple(found)


def plan(
    site: Site,
    origins: Sequence[Origin],
    listeners: Sequence[Listener],
    translated: Iterable[Port],
    unnamed: Sequence[Port] = (),
    named: frozenset[str] = frozenset(),
) -> tuple[list[Asked], int]:
    """Return what to ask, the most important first, and how many questions there are too many.

    Only the world asks what becomes of the ports in `unnamed`. `named` are addresses of the node that rules name: they
    are asked, as those that sockets are bound to, however many addresses an interface has.
    """
    asked = dict[tuple[Probe, str], Asked]()
    extra = sorted(set(translated))
    special = named | {one.address for one in listeners}
    for origin in origins:
        for address in targets(site, origin, special):
            for protocol, port in unnamed if origin.zone == Zone.WORLD else ():
                _add(asked, origin, address, protocol, port, has_listener=True, is_unnamed=True)
        for address in targets(site, origin, special):
            for listener in listeners:
                if takes(listener, address):
                    _add(asked, origin, address, listener.protocol, listener.port, has_listener=True)
            for protocol, port in extra if address != _LOOPBACK else ():
                _add(asked, origin, address, protocol, port, has_listener=False)
    # of every origin its share, if there are too many
    ordered = sorted(asked.values(), key=lambda one: not one.has_listener)
    return ordered[:MAX_QUESTIONS], max(0, len(ordered) - MAX_QUESTIONS)


def _add(
    asked: dict[tuple[Probe, str], Asked],
    origin: Origin,
    address: str,
    protocol: Protocol,
    port: int,
    *,
    has_listener: bool,
    is_unnamed: bool = False,
) -> None:
    probe = Probe(zone=origin.zone, protocol=protocol, address=address, port=port)
    key = probe, origin.link.name
    if key in asked:
        return
    count = len(origin.sources)
    first = len(asked) % count
    sources = tuple(origin.sources[(first + step) % count] for step in range(min(count, 3)))
    question = Question(link=origin.link.name, sources=sources, address=address, port=port, protocol=protocol)
    asked[key] = Asked(probe=probe, question=question, has_listener=has_listener, is_unnamed=is_unnamed)


def targets(site: Site, origin: Origin, special: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the addresses of the node that a zone can send to: at most a few, and those in `special`.

    The world reaches those of its interface, which may be translated on the way, and public ones of others. A packet to
    127.0.0.1 is taken from outside where route_localnet is set.
    """
    own = _addresses(origin.link, is_v6=origin.is_v6)
    if origin.zone == Zone.WORLD:
        elsewhere = [one for link in site.links for one in _addresses(link, is_v6=origin.is_v6) if _is_public(one)]
        own = [*_first(own, special), *(one for one in elsewhere if one not in own)]
    elif origin.zone == Zone.PODS:
        uplinks = [one for link in site.uplinks(is_v6=origin.is_v6)[:1] for one in _addresses(link, is_v6=origin.is_v6)]
        own = [*own[:1], *(one for one in uplinks[:2] if one not in own[:1])]
    yield from _first(own, special)
    if origin.zone != Zone.WORLD and not origin.is_v6 and takes_loopback(site, origin.link):
        yield _LOOPBACK


def _first(own: Sequence[str], special: frozenset[str]) -> list[str]:
    return [*own[:_MAX_TARGETS], *(one for one in own[_MAX_TARGETS:] if one in special)]


def takes_loopback(site: Site, link: Link) -> bool:
    """Whether packets from an interface to 127.0.0.0/8 are taken (route_localnet in ip-sysctl.rst)."""
    places = "all", link.name
    return any(site.sysctls.get(f"net/ipv4/conf/{place}/route_localnet") == "1" for place in places)


def _addresses(link: Link, *, is_v6: bool) -> list[str]:
    return [str(one.ip) for one in link.interfaces() if (one.version == 6) == is_v6]


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address).is_global


def takes(listener: Listener, address: str) -> bool:
    """Whether a socket gets what is sent to an address."""
    if address == _LOOPBACK or listener.is_loopback:
        return listener.address == address
    if listener.address == "0.0.0.0":  # noqa: S104 - compared
        return ":" not in address
    if listener.address == "::":
        return ":" in address or not listener.is_v6_only
    return listener.address == address
