"""Judges what can be reached in this network namespace: what other packages call."""

import os
from collections.abc import Sequence

import msgspec

from monitor.audit.findings import Zone
from monitor.audit.kernel.copied import Dump
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.judging import judge_reach
from monitor.audit.kernel.listing import read_dump
from monitor.audit.kernel.site_reading import read_site
from monitor.audit.kernel.sockets import read_sockets
from monitor.audit.reach import Listener, Protocol, Reach


def gather_reach(
    dump: Dump | None = None, *, zones: Sequence[Zone] = tuple(Zone), pod_networks: Sequence[str] = ()
) -> Reach:
    """Return what can be reached from these zones, by copying what is in this network namespace, which stays as it is.

    `pod_networks` are networks of pods that interfaces and routes do not show. JudgeError if nothing can be judged: not
    root, no nft or ip.
    """
    _must_be_root()
    return judge_reach(dump or read_dump(), read_site(), read_sockets(), zones=zones, pod_networks=pod_networks)


def explain_port(
    protocol: Protocol, port: int, *, zones: Sequence[Zone] = tuple(Zone), pod_networks: Sequence[str] = ()
) -> Reach:
    """Return what becomes of packets to one port; where nothing listens, as if a program listened at all addresses.

    JudgeError if nothing can be judged.
    """
    _must_be_root()
    there = [one for one in read_sockets() if (one.protocol, one.port) == (protocol, port)]
    supposed = Listener(protocol=protocol, address="::", port=port)
    reach = judge_reach(
        read_dump(), read_site(), there or [supposed], zones=zones, pod_networks=pod_networks, only=(protocol, port)
    )
    return msgspec.structs.replace(reach, listeners=tuple(there))


def _must_be_root() -> None:
    if os.geteuid():
        raise JudgeError("only root can make a network namespace and read all rules")
