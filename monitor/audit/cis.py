"""Numbers of the CIS Kubernetes Benchmark, by its version: they move from one to the next.

Read from kube-bench's definitions (aquasecurity/kube-bench, cfg/cis-1.8 to cfg/cis-1.12). 1.9 dropped
SecurityContextDeny, so later numbers of section 1.2 are one less; it added the check of kube-proxy. NetworkPolicies
(5.3) are objects of the cluster: a node cannot judge them.
"""

from collections.abc import Mapping
from types import MappingProxyType

LATEST = "1.12"
_SAME = {
    "apiserver-anonymous": ("1.2.1",),
    "external-ips": ("1.2.3",),
    "apiserver-authorization": ("1.2.6", "1.2.7", "1.2.8"),
    "exposed-control": ("1.3.7", "1.4.2"),
    "etcd-tls": ("2.1",),
    "etcd-client-auth": ("2.2",),
    "etcd-auto-tls": ("2.3",),
    "etcd-peers": ("2.4", "2.5", "2.6"),
    "kubelet-anonymous": ("4.2.1",),
    "kubelet-authorization": ("4.2.2",),
    "kubelet-client-ca": ("4.2.3",),
    "kubelet-readonly-port": ("4.2.4",),
    "exposed-kubelet": ("4.2.4",),
    "kubelet-iptables": ("4.2.6",),
}
_1_8 = {
    **_SAME,
    "apiserver-noderestriction": ("1.2.15",),
    "apiserver-etcd-tls": ("1.2.24", "1.2.27"),
    "apiserver-client-ca": ("1.2.26",),
}
_1_9 = {
    **_SAME,
    "apiserver-noderestriction": ("1.2.14",),
    "apiserver-etcd-tls": ("1.2.23", "1.2.26"),
    "apiserver-client-ca": ("1.2.25",),
    "exposed-proxy": ("4.3.1",),
}
BY_VERSION: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"1.8": _1_8, "1.9": _1_9, "1.10": _1_9, "1.11": _1_9, LATEST: _1_9}
)
"""By version of the benchmark: the recommendations that a check judges, by its identifier."""
VERSIONS = tuple(BY_VERSION)


def numbers(check_id: str, version: str = LATEST) -> tuple[str, ...]:
    """Return the recommendations that a check judges; empty if that version has none, or is not known."""
    return BY_VERSION.get(version, {}).get(check_id, ())
