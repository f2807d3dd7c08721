"""What decides on packets and is not in a copy of the rules: XDP and tc programs, IPVS, iptables-legacy."""

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.audit.rules.legacy import legacy_tables
from monitor.model.errors import explain

_NET = Path("/proc/self/net")
_MAX_BYTES = 65536
_OWN_XDP = "xdp_ban"
_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_PROG_QUERY = 16
_TCX = {46: "ingress", 47: "egress"}
"""BPF_TCX_INGRESS and BPF_TCX_EGRESS of linux/bpf.h, kernel 6.6."""
_MAX_NAMED = 8
_LIBC = ctypes.CDLL(None, use_errno=True)


def what_is_not_copied(links: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each; `links` is what `ip -j -d addr` lists."""
    yield from _named("an XDP program filters", [str(one["ifname"]) for one in links if _has_foreign_xdp(one)])
    yield from _named("a tc filter decides on packets of", _with_tc(links))
    yield from _named("a VRF has routes of its own:", [str(o["ifname"]) for o in links if _kind(o) == "vrf"])
    if services := [line for line in _lines("ip_vs") if line.startswith(("TCP", "UDP", "SCTP", "FWM"))]:
        yield f"IPVS forwards {len(services)} services"
    yield from _legacy()


def _legacy() -> Iterator[str]:
    try:
        tables = [f"{table.family} {table.name}" for table in legacy_tables() if not table.is_empty]
    except OSError as error:
        yield f"the rules of iptables-legacy cannot be read: {explain(error)}"
        return
    if tables:
        yield f"iptables-legacy has rules in {', '.join(tables)}"


def _named(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        yield f"{what} {', '.join(names[:_MAX_NAMED])}{more}"


def _kind(link: Mapping[str, Any]) -> str:
    return str((link.get("linkinfo") or {}).get("info_kind", ""))


def _has_foreign_xdp(link: Mapping[str, Any]) -> bool:
    """Whether an XDP program other than ours is attached: ours only drops what the sets of bans have."""
    xdp = link.get("xdp")
    if not isinstance(xdp, Mapping):
        return False
    programs = [xdp.get("prog"), *(one.get("prog") for one in xdp.get("attached", ()) if isinstance(one, Mapping))]
    names = [str(program.get("name", "")) for program in programs if isinstance(program, Mapping)]
    return not names or any(name != _OWN_XDP for name in names)


def _with_tc(links: Sequence[Mapping[str, Any]]) -> list[str]:
    names = {int(one["ifindex"]): str(one["ifname"]) for one in links if isinstance(one.get("ifindex"), int)}
    found = [name for index, name in names.items() if any(_has_tcx(index, kind) for kind in _TCX)]
    try:
        printed = msgspec.json.decode(run("tc", "-j", "qdisc", "show") or b"[]", type=list[dict[str, Any]])
    except (ProgramFailed, msgspec.DecodeError):
        return found
    hooked = {str(one.get("dev")) for one in printed if one.get("kind") in ("clsact", "ingress")}
    return [*found, *(name for name in names.values() if name in hooked and name not in found and _filters(name))]


def _filters(name: str) -> bool:
    """Whether an interface with the hook has filters; yes if that cannot be read."""
    try:
        return any(run("tc", "filter", "show", "dev", name, hook).strip() for hook in ("ingress", "egress"))
    except ProgramFailed:
        return True


def _has_tcx(index: int, kind: int) -> bool:
    """Whether BPF programs are attached to an interface the way of kernel 6.6, which tc(8) does not show."""
    number = _SYS_BPF.get(os.uname().machine)
    if number is None:
        return False
    asked = ctypes.create_string_buffer(struct.pack("=IIIIQI", index, kind, 0, 0, 0, 0).ljust(64, b"\0"), 64)
    if _LIBC.syscall(number, _PROG_QUERY, asked, 64):
        return False  # an older kernel
    return bool(struct.unpack_from("=I", asked, 24)[0])


def _lines(name: str) -> list[str]:
    try:
        with _NET.joinpath(name).open(encoding="ascii", errors="replace") as file:
            return file.read(_MAX_BYTES).splitlines()
    except OSError:
        return []
