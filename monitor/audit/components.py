"""Parts of a Kubernetes control plane that should not be open, and how ports and processes show them."""

import enum

import msgspec

from monitor.audit.reach import Listener


class Component(enum.Enum):
    """A part, with the ports that it has by default and the names of its processes.

    Ports: https://kubernetes.io/docs/reference/networking/ports-and-protocols/; names are cut to 15 bytes, as the
    kernel does (`TASK_COMM_LEN`). A distribution that runs all parts in one process (k3s, rke2) is recognised by port.
    """

    ETCD = ("etcd", frozenset({2379, 2380}), frozenset({"etcd"}))
    KUBELET = ("kubelet", frozenset({10250, 10255}), frozenset({"kubelet"}))
    CONTROL = (
        "controller manager or scheduler",
        frozenset({10251, 10252, 10257, 10258, 10259}),
        frozenset({"kube-controller", "kube-controller-manager", "kube-scheduler", "cloud-controlle"}),
    )
    APISERVER = ("API server", frozenset({6443}), frozenset({"kube-apiserver"}))
    PROXY = ("kube-proxy", frozenset({10249}), frozenset[str]())
    """Its process is no sign: its health check (10256) is there for load balancers, and it may hold NodePorts open."""

    def __init__(self, label: str, ports: frozenset[int], processes: frozenset[str]) -> None:
        self.label = label
        self.ports = ports
        self.processes = processes


_HEALTH_PORTS = frozenset({10248, 10256})
"""Health checks of kubelet and kube-proxy: they answer `ok` and nothing else."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a probe ends: a port, and the processes that listen there, if they are on this node."""

    port: int
    listeners: tuple[Listener, ...] = ()


def component_at(endpoint: Endpoint) -> Component | None:
    """Return which part answers there: a process decides before a port; None for any other service."""
    names = {listener.process for listener in endpoint.listeners}
    if endpoint.port in _HEALTH_PORTS:
        return None
    for component in Component:
        if names & component.processes:
            return component
    return next((component for component in Component if endpoint.port in component.ports), None)
