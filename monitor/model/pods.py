"""Pods: which one has or had an address, and whose log a file is. Pure.

The kubelet has logs written to `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log`. Names of Kubernetes contain no `_`
and no `/`, so that a path says without doubt whose log it is.
"""

import re
from typing import NamedTuple, TypeVar

import msgspec

from monitor.model.addresses import Address

ROOT = "/var/log/pods"
MAX_ATTACHMENTS = 2048
"""Interfaces of pods: a node has 110 pods unless configured otherwise."""
REMEMBERED_S = 600.0
_Key = TypeVar("_Key", bytes, int)
_NAME = r"[a-z0-9.*?-]{1,253}"
_MATCH = re.compile(rf"({_NAME})/({_NAME})/({_NAME})")
_PATH = re.compile(rf"{ROOT}/([^/_]+)_([^/_]+)_[^/_]+/([^/_]+)/[^/]+")


class Pod(NamedTuple):
    """A pod by its names in Kubernetes."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return `NAMESPACE/POD`."""
        return f"{self.namespace}/{self.name}"


class _Known(NamedTuple):
    """Who had an address or a namespace; `ended_s` is None while the pod lives."""

    pod: Pod
    ended_s: float | None


class PodTable(msgspec.Struct, frozen=True):
    """Which pods there are, at one time; nobody changes it once it is made."""

    by_address: dict[Address, Pod] = msgspec.field(default_factory=dict)
    by_netns: dict[int, Pod] = msgspec.field(default_factory=dict)
    notices: tuple[str, ...] = ()
    """Why some pods are not named."""


class Pods:
    """Answers which pod it was.

    A pod that ended is remembered for a while, because what is said of it, such as an alert, may come later than its
    end; a pod that lives comes first. At most `MAX_ATTACHMENTS` that ended are held, of each kind of key.
    """

    def __init__(self) -> None:
        """Know none."""
        self.notices: tuple[str, ...] = ()
        self._by_address: dict[Address, _Known] = {}
        self._by_netns: dict[int, _Known] = {}

    def __bool__(self) -> bool:
        """Whether any pod is known by an address."""
        return bool(self._by_address)

    def take(self, table: PodTable, now_s: float) -> None:
        """Take in the pods of now; `now_s` is any clock in seconds."""
        self.notices = table.notices
        self._by_address = _merged(self._by_address, table.by_address, now_s)
        self._by_netns = _merged(self._by_netns, table.by_netns, now_s)

    def pod_of(self, address: Address) -> str | None:
        """Return `NAMESPACE/POD` of the pod on this node that has, or had until lately, this address."""
        known = self._by_address.get(address)
        return str(known.pod) if known else None

    def pod_of_netns(self, inode: int) -> Pod | None:
        """Return the pod with this network namespace, by the number of its inode."""
        known = self._by_netns.get(inode)
        return known.pod if known else None

    @property
    def living(self) -> int:
        """How many network namespaces of pods are known now."""
        return sum(known.ended_s is None for known in self._by_netns.values())


def _merged(before: dict[_Key, _Known], current: dict[_Key, Pod], now_s: float) -> dict[_Key, _Known]:
    """Return the pods by key: those of now, and those that ended lately, the latest of them."""
    ended = [
        (now_s if known.ended_s is None else known.ended_s, key, known.pod)
        for key, known in before.items()
        if key not in current
    ]
    lately = sorted(one for one in ended if 0 <= now_s - one[0] <= REMEMBERED_S)[-MAX_ATTACHMENTS:]
    return {key: _Known(pod, ended_s) for ended_s, key, pod in lately} | {
        key: _Known(pod, None) for key, pod in current.items()
    }


class PodLog(NamedTuple):
    """Whose log it is; in a match `*` and `?` stand for other characters."""

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"pod {self.namespace}/{self.pod}, container {self.container}"


def parse_pod_match(text: str) -> PodLog:
    """Read `NAMESPACE/POD/CONTAINER`; ValueError if it is not that."""
    match = _MATCH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is not NAMESPACE/POD/CONTAINER (lower case; `*` and `?` match)")
    return PodLog(*match.groups())


def pattern_of(text: str, root: str = ROOT) -> str:
    """Return the pattern of glob(7) for the logs of a match, all restarts of the containers among them."""
    namespace, pod, container = parse_pod_match(text)
    return f"{root}/{namespace}_{pod}_*/{container}/*.log"


def pod_log(path: str) -> PodLog | None:
    """Return whose log a path is; None where it is not a pod's."""
    match = _PATH.fullmatch(path)
    return PodLog(*match.groups()) if match else None
