"""Load balancers and reverse proxies: their health checks in every mode, before, while and after the services work."""

import contextlib
import time

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Run, Visit
from tests.zoo.topology import (
    DROPPED_PORTS,
    EARLY_POD,
    EARLY_PORTS,
    GUARDED,
    NODE_PORTS,
    OPEN,
    REJECTED_PORTS,
)
from tests.zoo.traffic import (
    accepting,
    answering,
    attempt_all,
    connect,
    exchange,
    expect,
    is_reachable,
    listening,
    request,
    reset,
    start_connecting,
)

_ROUNDS = 3
_PROXY_V1 = b"PROXY TCP4 198.51.100.1 192.0.2.1 40000 443\r\n"
_PROXY_V2 = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"  # LOCAL, as HAProxy checks with send-proxy-v2
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_TLS_HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000006c02bc02f009c0100")
_OPTIONS = b"OPTIONS / HTTP/1.0\r\n\r\n"
_CHECK = b"GET /healthz HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n"


def half_open(visit: Visit) -> None:
    """Check 20 NodePorts by SYN, SYN-ACK and RST: the kernel of the balancer sends the RST, as it has no socket."""
    _half_open_checks(visit, NODE_PORTS)


def half_open_own_services(visit: Visit) -> None:
    """Check 20 services of the node in the same way."""
    _half_open_checks(visit, range(5000, 5020))


def _half_open_checks(visit: Visit, ports: range) -> None:
    (source,) = visit.outside()
    for source_port in range(20000, 20000 + _ROUNDS):
        checks = (packets.tcp((source, source_port), (visit.address4, port), packets.SYN) for port in ports)
        packets.send(visit.world, checks)
        time.sleep(2)


def before_pods_listen(visit: Visit) -> None:
    """Check 20 NodePorts whose pod refuses; when it listens, the balancer must get in."""
    (source,) = visit.outside()
    ports = [(visit.address4, port) for port in EARLY_PORTS]
    visit.own(EARLY_POD)
    for _ in range(_ROUNDS):
        attempt_all(visit.world, [source], ports, wait_s=1)
    with listening(visit.pods, EARLY_POD, [9000]):
        time.sleep(1)
        accepted = attempt_all(visit.world, [source], ports, wait_s=1)
    expect(accepted, len(ports), "NodePorts reached when the pod listened")


def restart_of_own_services(visit: Visit) -> None:
    """Check 20 services of the node that answer, are restarted, and answer again."""
    (source,) = visit.outside()
    served = range(7000, 7020) if visit.target == OPEN else range(7020, 7040)
    ports = [(visit.address4, port) for port in served]
    for is_up in (True, False, False, True):
        with answering(visit.node, visit.address4, served) if is_up else contextlib.nullcontext():
            accepted = attempt_all(visit.world, [source], ports, wait_s=1)
            expect(accepted, len(ports) if is_up else 0, "services reached")


def without_endpoints(visit: Visit) -> None:
    """Check 20 NodePorts of services without endpoints, which kube-proxy rejects."""
    (source,) = visit.outside()
    for _ in range(_ROUNDS):
        attempt_all(visit.world, [source], [(visit.address4, port) for port in REJECTED_PORTS], wait_s=1)


def without_local_endpoints(visit: Visit) -> None:
    """Check 20 NodePorts with externalTrafficPolicy Local and no endpoint on this node, which kube-proxy drops."""
    (source,) = visit.outside()
    attempt_all(visit.world, [source], [(visit.address4, port) for port in DROPPED_PORTS], wait_s=4)


def _checks(payload: bytes, *, ends_by_reset: bool = False, sources: int = 1) -> Run:
    """Return a behaviour: each source checks 20 ports several times with this payload; empty: connect only."""

    def run(visit: Visit) -> None:
        for source in visit.outside(sources):
            for port in (*NODE_PORTS, 80, 443) * _ROUNDS:
                link = connect(visit.world, source, visit.address4, port)
                with link:
                    if payload:
                        exchange(link, payload)
                    if ends_by_reset:
                        reset(link)

    return run


def full_accept_queue(visit: Visit) -> None:
    """Open 40 connections a second to a service that hangs with listen(8); when it accepts again, get in."""
    (source,) = visit.outside()
    port = 7050
    with listening(visit.node, visit.address4, [port], backlog=8) as (server,):
        links = []
        deadline_s = time.monotonic() + 12
        while time.monotonic() < deadline_s:
            links.append(start_connecting(visit.world, source, visit.address4, port))
            time.sleep(1 / 40)
        for link in links:
            link.close()
        with accepting(server):
            time.sleep(3)
            expect(is_reachable(visit.world, source, visit.address4, port), 1, "the service reached, once it accepts")


def burst_at_start(visit: Visit) -> None:
    """Open 400 connections at the same time from two proxies to a service with listen(32) that accepts slowly."""
    sources = visit.outside(2)
    with answering(visit.node, visit.address4, [7051], backlog=32):
        attempt_all(visit.world, sources, [(visit.address4, 7051)] * 400, wait_s=6)


def reverse_proxy(visit: Visit) -> None:
    """Keep 200 connections of nginx to its backend open, use and replace them."""
    (source,) = visit.outside()
    for _ in range(_ROUNDS):
        links = [connect(visit.world, source, visit.address4, 80) for _ in range(200)]
        answered = sum(bool(exchange(link)) for link in links)
        for number, link in enumerate(links):
            (reset if number % 3 == 0 else type(link).close)(link)
        expect(answered, 200, "requests answered")


def deregistration(visit: Visit) -> None:
    """Drain a target: the balancer finishes its requests, and checks the port that is closed now."""
    (source,) = visit.outside()
    with answering(visit.node, visit.address4, [7052]):
        for _ in range(20):
            request(visit.world, source, visit.address4, 7052)
    for _ in range(30):
        is_reachable(visit.world, source, visit.address4, 7052)


_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("lb: half-open checks of 20 NodePorts", half_open, _BOTH),
    Behaviour("lb: half-open checks of 20 own services", half_open_own_services, _BOTH),
    Behaviour("lb: checks before the pods listen", before_pods_listen),
    Behaviour("lb: checks during restarts of own services", restart_of_own_services, _BOTH),
    Behaviour("lb: NodePorts without endpoints", without_endpoints, _BOTH),
    Behaviour("lb: NodePorts without local endpoints", without_local_endpoints, _BOTH),
    Behaviour("lb: proxy at a full accept queue", full_accept_queue),
    Behaviour("lb: burst at the start of a service", burst_at_start),
    Behaviour("lb: target is deregistered", deregistration, _BOTH),
    Behaviour("nlb: TCP checks from six nodes", _checks(b"", sources=6), _BOTH),
    Behaviour("haproxy: TCP checks closed by RST", _checks(b"", ends_by_reset=True), _BOTH),
    Behaviour("haproxy: httpchk", _checks(_OPTIONS)),
    Behaviour("haproxy: ssl-hello-chk", _checks(_TLS_HELLO, ends_by_reset=True)),
    Behaviour("haproxy: send-proxy", _checks(_PROXY_V1 + _OPTIONS)),
    Behaviour("haproxy: send-proxy-v2", _checks(_PROXY_V2)),
    Behaviour("envoy: HTTP/2 checks", _checks(_HTTP2)),
    Behaviour("traefik: GET checks", _checks(_CHECK % (b"node", b"Go-http-client/1.1"))),
    Behaviour("nginx: keepalive connections to a backend", reverse_proxy, _BOTH),
)
