"""Judges what can be reached in this network namespace: the one thing that other packages call."""

import os
from collections.abc import Sequence

from monitor.audit.findings import Zone
from monitor.audit.kernel.copied import Dump
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.judging import judge_reach
from monitor.audit.kernel.listing import read_dump
from monitor.audit.kernel.site_reading import read_site
from monitor.audit.kernel.sockets import read_sockets
from monitor.audit.reach import Reach


def gather_reach(
    dump: Dump | None = None, *, zones: Sequence[Zone] = tuple(Zone), pod_networks: Sequence[str] = ()
) -> Reach:
    """Return what can be reached from these zones, by copying what is in this network namespace, which stays as it is.

    `pod_networks` are networks of pods that interfaces and routes do not show. JudgeError if nothing can be judged: not
    root, no nft or ip.
    """
    if os.geteuid():
        raise JudgeError("only root can make a network namespace and read all rules")
    return judge_reach(dump or read_dump(), read_site(), read_sockets(), zones=zones, pod_networks=pod_networks)
