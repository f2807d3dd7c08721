"""What a Kubernetes node sees all day."""

import threading
import time

from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED, KUBE_PROXY, NODE_PORTS, OPEN, POD
from tests.zoo.traffic import answering, attempt_all, expect, is_reachable, listening, request

_ROLLED_PORT = 8092


def kubelet_probes(visit: Visit) -> None:
    """The kubelet probes twelve pods by TCP and HTTP; some are not ready and refuse, some hang, some are gone."""
    pods = visit.inside(visit.pods, 12)
    with answering(visit.pods, pods[0], [8090]):
        for _ in range(3):
            expect(is_reachable(visit.node, "10.244.0.1", pods[0], 8090), 1, "probes of a ready pod")
            attempt_all(visit.node, ["10.244.0.1"], [(pod, 8090) for pod in pods], wait_s=0.5)
            attempt_all(
                visit.node, ["10.244.0.1"], [(f"10.244.0.{number}", 8090) for number in range(50, 70)], wait_s=1
            )


def probes_from_other_node(visit: Visit) -> None:
    """Another node checks node ports and kubelet, and 20 pods of this node that are gone."""
    (other,) = visit.inside(visit.neighbour)
    gone = [(f"10.244.0.{number}", 8080) for number in range(70, 90)]
    for _ in range(2):
        attempt_all(
            visit.neighbour, [other], [(visit.node.address4, port) for port in (10250, 10256, *NODE_PORTS)], wait_s=1
        )
        attempt_all(visit.neighbour, [other], gone, wait_s=2)


def resync(visit: Visit) -> None:
    """kube-proxy replaces its whole table twelve times while ten clients use NodePorts."""
    clients = visit.outside(10)
    ends = threading.Event()
    answered: list[bytes] = []

    def visit_often() -> None:
        while not ends.is_set():
            for number, client in enumerate(clients):
                answered.append(request(visit.world, client, visit.address4, NODE_PORTS[number]))

    thread = threading.Thread(target=visit_often)
    thread.start()
    try:
        for _ in range(12):
            visit.node.nft(KUBE_PROXY)
            time.sleep(0.3)
    finally:
        ends.set()
        thread.join(10)
    expect(len(answered), 50, "requests answered")


def rolling_restart(visit: Visit) -> None:
    """Pods of a service are replaced one after another, while two clients use 20 services through NodePorts."""
    clients = visit.outside(2)
    (pod,) = visit.inside(visit.pods)
    visit.own(POD)
    table = f"zoo_roll_{visit.target}"
    sources = ", ".join(clients)
    visit.node.nft(
        f"table ip {table} {{\nchain c {{ type nat hook prerouting priority dstnat - 5; "
        f"ip saddr {{ {sources} }} tcp dport 30000-30019 dnat to {pod}:{_ROLLED_PORT}; }}\n}}"
    )
    ports = [(visit.address4, port) for port in NODE_PORTS]
    for is_up in (True, False, True, False, True):
        if is_up:
            with answering(visit.pods, pod, [_ROLLED_PORT]):
                expect(attempt_all(visit.world, clients, ports, wait_s=1), 20, "services reached")
        else:
            attempt_all(visit.world, clients, ports, wait_s=1)
    visit.node.run("nft", "delete", "table", "ip", table)


def pod_is_deleted(visit: Visit) -> None:
    """A pod's address does not answer any more while clients still call 20 services that lead there."""
    (client,) = visit.outside()
    table = f"zoo_gone_{visit.target}"
    visit.node.nft(
        f"table ip {table} {{\nchain c {{ type nat hook prerouting priority dstnat - 5; "
        f"ip saddr {client} tcp dport 30000-30019 dnat to 10.244.0.9:8080; }}\n}}"
    )
    for _ in range(2):
        attempt_all(visit.world, [client], [(visit.address4, port) for port in NODE_PORTS], wait_s=4)
    visit.node.run("nft", "delete", "table", "ip", table)


def mesh(visit: Visit) -> None:
    """Pods call pods, each with twelve others, through the node; a third of them refuses."""
    callers = visit.inside(visit.pods, 4)
    (lan,) = visit.inside(visit.lan)
    targets = [(f"10.244.0.{number}", port) for number in range(110, 122) for port in (31443, 31444, 9999)]
    with listening(visit.pods, callers[0], [8091]):
        attempt_all(visit.lan, [lan], targets, wait_s=1)
        attempt_all(visit.lan, [lan], [(callers[0], 8091)] * 20, wait_s=1)


def ingress(visit: Visit) -> None:
    """An ingress controller of another node sends 300 requests to pods of this one and keeps 100 connections open."""
    (controller,) = visit.inside(visit.neighbour)
    for number in range(300):
        request(visit.neighbour, controller, f"10.244.0.{110 + number % 12}", 31443)
    expect(attempt_all(visit.neighbour, [controller], [("10.244.0.110", 31444)] * 100, wait_s=1), 100, "connections")


def node_port_of_all_nodes(visit: Visit) -> None:
    """A client tries all NodePorts of a list, of which many belong to services that are not here any more."""
    (client,) = visit.outside()
    ports = [(visit.address4, port) for port in (*NODE_PORTS, *range(30400, 30410))]
    attempt_all(visit.world, [client], ports, wait_s=2)


_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("kubernetes: kubelet probes", kubelet_probes),
    Behaviour(
        "kubernetes: probes from another node",
        probes_from_other_node,
        expects_observed="an internal source calls pods that are gone: worth knowing, not worth cutting off",
    ),
    Behaviour("kubernetes: kube-proxy resync", resync, _BOTH),
    Behaviour("kubernetes: rolling restart", rolling_restart, _BOTH),
    Behaviour("kubernetes: pod is deleted under load", pod_is_deleted, _BOTH),
    Behaviour(
        "kubernetes: pods call pods",
        mesh,
        expects_observed="an internal source calls pods that refuse: worth knowing, not worth cutting off",
    ),
    Behaviour("kubernetes: ingress of another node", ingress),
    Behaviour("kubernetes: list of NodePorts is old", node_port_of_all_nodes, _BOTH),
)
