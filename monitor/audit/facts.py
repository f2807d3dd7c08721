"""What is known of a node before it is judged: parts that are gathered one by one, and what could not be.

Checks read facts and have no effects. Tests write facts down.
"""

import enum
from collections.abc import Mapping

import msgspec

from monitor.audit.baseline import Baseline
from monitor.audit.host import Host
from monitor.audit.own import Own
from monitor.audit.reach import Reach
from monitor.audit.ruleset import Ruleset


class Part(enum.StrEnum):
    """A part of the facts, which may be missing."""

    REACH = "reach"
    """What real packets reached, in a copy of the firewall."""
    RULESET = "ruleset"
    """The rules, as they are written."""
    HOST = "host"
    """Sysctls, processes, files of Kubernetes and etcd."""
    OWN = "own"
    """Configuration and table of nodewarden itself."""
    BASELINE = "baseline"
    """An earlier audit that the operator accepted."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All parts; one in `lacks` is empty, and the text there says why."""

    reach: Reach = Reach()
    ruleset: Ruleset = Ruleset()
    host: Host = Host()
    own: Own = Own()
    baseline: Baseline = Baseline()
    previous: Baseline = Baseline()
    """The state that the last run of the unit found; empty without one."""
    lacks: Mapping[Part, str] = {}
    time_s: float = 0.0
    """When they were gathered, wall time."""
