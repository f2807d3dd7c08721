"""Reads what surrounds the rules of this network namespace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.audit.kernel.blindness import what_is_not_copied
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.audit.kernel.site import MAX_ROUTES, Link, Site, read_links, read_routes

_SYS = Path("/proc/sys")
_GLOBAL = (
    "net/ipv4/ip_forward",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv4/tcp_l3mdev_accept",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/ip_local_port_range",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/ip_nonlocal_bind",
    "net/netfilter/nf_conntrack_tcp_loose",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_helper",
)
_PER_LINK4 = ("rp_filter", "route_localnet", "accept_local", "accept_source_route", "src_valid_mark", "forwarding")
_PER_LINK6 = ("disable_ipv6", "forwarding", "accept_source_route")
_MAX_BYTES = 256
_Rows = list[dict[str, Any]]


def read_site() -> Site:
    """Return the node as it is; JudgeError if ip(8) cannot show it."""
    try:
        rows = _rows("-d", "addr")
        routes4, routes6 = (_rows(family, "route", "show", "table", "main") for family in ("-4", "-6"))
    except ProgramFailed as error:
        raise JudgeError(f"the interfaces cannot be read: {error}") from error
    links = read_links(rows)
    return Site(
        links=links,
        routes=(*read_routes(routes4, is_v6=False), *read_routes(routes6, is_v6=True)),
        sysctls=dict(_sysctls(links)),
        blind=tuple(what_is_not_copied(rows)),
        loss=tuple(_left_out(len(rows) - len(links), len(routes4) - MAX_ROUTES, len(routes6) - MAX_ROUTES)),
    )


def _left_out(links: int, routes4: int, routes6: int) -> Iterator[str]:
    """Say what the copy lacks: without an interface or a route it may judge a packet otherwise than the node does."""
    for count, what in ((links, "interfaces"), (routes4, "IPv4 routes"), (routes6, "IPv6 routes")):
        if count > 0:
            yield f"{count} {what}: there are too many"


def _rows(*arguments: str) -> _Rows:
    printed = run("ip", "-j", *arguments)
    try:
        return msgspec.json.decode(printed or b"[]", type=_Rows)
    except msgspec.DecodeError as error:
        raise ProgramFailed(f"ip printed what is no list: {error}") from error


def _sysctls(links: tuple[Link, ...]) -> Iterator[tuple[str, str]]:
    places = ["all", "default", *(link.name for link in links if "/" not in link.name)]
    inner = [f"net/ipv4/conf/{place}/{name}" for place in places for name in _PER_LINK4]
    inner += [f"net/ipv6/conf/{place}/{name}" for place in places for name in _PER_LINK6]
    # ip_forward sets all that the others then set one by one
    for path in (*_GLOBAL, *inner):
        try:
            with _SYS.joinpath(path).open(encoding="ascii", errors="replace") as file:
                yield path, file.read(_MAX_BYTES).strip()
        except OSError:
            continue
