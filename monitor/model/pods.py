"""Logs of pods, where the kubelet has them written: `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log`. Pure.

Names of Kubernetes contain no `_` and no `/`, so that a path says without doubt whose log it is.
"""

import re
from typing import NamedTuple

ROOT = "/var/log/pods"
_NAME = r"[a-z0-9.*?-]{1,253}"
_MATCH = re.compile(rf"({_NAME})/({_NAME})/({_NAME})")
_PATH = re.compile(rf"{ROOT}/([^/_]+)_([^/_]+)_[^/_]+/([^/_]+)/[^/]+")


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
