"""Clients behind the node, and the node as a client: their own attempts fail, which is nothing against them."""

import contextlib
import random
import time

from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.traffic import (
    ask,
    attempt_all,
    connect,
    datagram_socket,
    exchange,
    expect,
    is_reachable,
    reset,
    say,
    together,
)


def pod_calls_silent_targets(visit: Visit) -> None:
    """A pod calls twelve targets on one port, of which none answers; afterwards it must reach the world."""
    (pod,) = visit.inside(visit.pods)
    attempt_all(visit.pods, [pod], [(address, 8443) for address in visit.silent(12)], wait_s=4)
    expect(is_reachable(visit.pods, pod, visit.outside()[0], 443), 1, "the world reached")


def pod_calls_silent_targets6(visit: Visit) -> None:
    """The same over IPv6, where nothing is translated."""
    pod = "2001:db8:244::10"
    visit.own(pod)
    attempt_all(visit.pods, [pod], [(f"2001:db8:4000::{number:x}", 8443) for number in range(1, 17)], wait_s=4)
    expect(is_reachable(visit.pods, pod, visit.outside6()[0], 443), 1, "the world reached")


def lan_calls_dead_host(visit: Visit) -> None:
    """A LAN client calls a dead host sixteen times, on one port and on sixteen."""
    (client,) = visit.inside(visit.lan)
    (dead,) = visit.silent()
    attempt_all(visit.lan, [client], [(dead, 5432)] * 16, wait_s=1)
    attempt_all(visit.lan, [client], [(dead, port) for port in range(9000, 9016)], wait_s=4)
    expect(is_reachable(visit.lan, client, visit.outside()[0], 443), 1, "the world reached")


def lan_is_refused(visit: Visit) -> None:
    """A LAN client is refused by a host that is up, on 30 ports, as a media player that looks for its server."""
    (client,), (server,) = visit.inside(visit.lan), visit.outside()
    for _ in range(2):
        attempt_all(visit.lan, [client], [(server, port) for port in range(32400, 32430)], wait_s=1)


def pod_with_stale_endpoints(visit: Visit) -> None:
    """Pods call endpoints of a service that are gone, in the pod network and outside."""
    clients = visit.inside(visit.pods, 3)
    gone = [(f"10.244.0.{number}", 8080) for number in range(20, 50)]
    attempt_all(visit.pods, clients, gone, wait_s=1)
    attempt_all(visit.pods, clients, [(f"10.244.7.{number}", 8080) for number in range(1, 30)], wait_s=4)


def pod_scrapes_dead_targets(visit: Visit) -> None:
    """Prometheus in a pod scrapes 30 exporters on the node and its neighbour, of which most are not there."""
    (pod,) = visit.inside(visit.pods)
    ports = (9100, *range(9101, 9130))
    for host in (visit.address4, visit.neighbour.address4):
        for _ in range(2):
            attempt_all(visit.pods, [pod], [(host, port) for port in ports], wait_s=1)


def node_calls_dead_targets(visit: Visit) -> None:
    """The node's package manager tries 20 mirrors that do not answer and 20 that refuse."""
    mirrors = [(address, 80) for address in visit.silent(20)] + [(visit.outside()[0], port) for port in range(81, 101)]
    attempt_all(visit.node, [visit.address4], mirrors, wait_s=4)


def peers_of_node(visit: Visit) -> None:
    """A P2P client on the node: 40 peers call its port, and it calls 60 that are dead or refuse."""
    peers = visit.outside(40)
    for peer in peers:
        with connect(visit.world, peer, visit.address4, 6881) as link:
            exchange(link, b"\x13BitTorrent protocol")
        ask(visit.world, peer, visit.address4, 6881, b"d1:ad2:id20:")
    ports = random.Random(1)
    dead = [(address, ports.randrange(1024, 65535)) for address in (*visit.silent(20), *peers)]
    attempt_all(visit.node, [visit.address4], dead, wait_s=4)
    for peer in peers:  # its table of nodes is old
        say(visit.node, visit.address4, peer, [ports.randrange(1024, 65535)], from_port=16881)


def late_peers_of_node(visit: Visit) -> None:
    """The P2P client on the node has ended; peers still call its ports for a while, each a few times."""
    for peer in visit.outside(20):
        attempt_all(visit.world, [peer], [(visit.address4, 16881)] * 3, wait_s=0.1)
        say(visit.world, peer, visit.address4, [16881] * 5, from_port=6881)


def peers_of_lan(visit: Visit) -> None:
    """A P2P client in the LAN, with a forwarded port: 20 peers come in, and it calls 60 that are dead."""
    (client,) = visit.inside(visit.lan)
    peers = visit.outside(20)
    for peer in peers:
        with connect(visit.world, peer, visit.address4, 6882) as link:
            exchange(link, b"\x13BitTorrent protocol")
    ports = random.Random(2)
    dead = [(address, ports.randrange(1024, 65535)) for address in (*visit.silent(20), *peers)]
    attempt_all(visit.lan, [client], dead, wait_s=4)


def browser_behind(visit: Visit) -> None:
    """Browsers of ten LAN clients open many connections, some of which they cancel, to ad hosts that do not answer."""
    clients, sites = visit.inside(visit.lan, 10), visit.outside(3)
    for client in clients:
        for site in sites:
            link = connect(visit.lan, client, site, 443)
            exchange(link)
            reset(link)
    blocked = [(address, 443) for address in visit.silent(15)]
    for _ in range(2):
        attempt_all(visit.lan, clients[:1], blocked, wait_s=2.5)


def hairpin(visit: Visit) -> None:
    """LAN client and pod reach a service beside them by the public address of the node, ten times each."""
    (client,), (pod,) = visit.inside(visit.lan), visit.inside(visit.pods)
    for _ in range(10):
        expect(is_reachable(visit.lan, client, visit.address4, 8081), 1, "the LAN's service reached from the LAN")
        expect(is_reachable(visit.pods, pod, visit.address4, 30001), 1, "the pod's service reached from a pod")


def hairpin_fails(visit: Visit) -> None:
    """A LAN client calls 20 forwarded ports that are not forwarded any more, by the public address."""
    (client,) = visit.inside(visit.lan)
    for _ in range(2):
        attempt_all(visit.lan, [client], [(visit.address4, port) for port in range(25565, 25585)], wait_s=1)


def crawler_in_a_pod(visit: Visit) -> None:
    """A crawler in a pod has 250 connections pending to sites that do not answer."""
    (pod,) = visit.inside(visit.pods)
    attempt_all(visit.pods, [pod], [(address, 443) for address in visit.silent(25)] * 10, wait_s=4)


def dns_outage_behind(visit: Visit) -> None:
    """Pods and LAN ask three resolvers that do not answer, by UDP and TCP, again and again."""
    clients = [(visit.pods, one) for one in visit.inside(visit.pods, 4)]
    clients += [(visit.lan, one) for one in visit.inside(visit.lan, 4)]
    resolvers = visit.silent(3)
    for host, client in clients:
        for resolver in resolvers * 4:
            with datagram_socket(host, client) as made:
                made.sendto(b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x03zoo\x00\x00\x01\x00\x01", (resolver, 53))
        attempt_all(host, [client], [(resolver, 53) for resolver in resolvers] * 4, wait_s=1)


def download_manager(visit: Visit) -> None:
    """A LAN client downloads by 100 connections at the same time, and gives half of them up."""
    (client,), (server,) = visit.inside(visit.lan), visit.outside()
    expect(together(100, visit.lan, client, server, 80), 100, "answers")
    for _ in range(50):
        with contextlib.suppress(OSError):
            reset(connect(visit.lan, client, server, 80))
    time.sleep(0.5)


def ftp_through_nat(visit: Visit) -> None:
    """A LAN client uses passive FTP: 20 data ports that the server opened and 20 that its firewall refuses."""
    (client,), (server,) = visit.inside(visit.lan), visit.outside()
    accepted = attempt_all(visit.lan, [client], [(server, port) for port in range(5000, 5040)], wait_s=1)
    expect(accepted, 20, "data connections")


_INTERNAL = "the source is in an internal network: evidence that anyone can forge is only observed"
BEHAVIOURS = (
    Behaviour("behind: pod calls 12 silent targets", pod_calls_silent_targets),
    Behaviour("behind: pod calls 16 silent targets over IPv6", pod_calls_silent_targets6),
    Behaviour("behind: LAN client calls a dead host", lan_calls_dead_host),
    Behaviour("behind: LAN client is refused on 30 ports", lan_is_refused),
    Behaviour("behind: pods with stale endpoints", pod_with_stale_endpoints),
    Behaviour("behind: pod scrapes targets that are down", pod_scrapes_dead_targets, expects_observed=_INTERNAL),
    Behaviour("behind: the node calls mirrors that are down", node_calls_dead_targets),
    Behaviour("behind: P2P client on the node", peers_of_node, ("open", "guarded")),
    Behaviour("behind: peers call a P2P client that ended", late_peers_of_node, ("guarded", "open")),
    Behaviour("behind: P2P client in the LAN", peers_of_lan),
    Behaviour("behind: browsers in the LAN", browser_behind),
    Behaviour("behind: hairpin", hairpin),
    Behaviour("behind: hairpin to closed ports", hairpin_fails, expects_observed=_INTERNAL),
    Behaviour("behind: crawler in a pod", crawler_in_a_pod),
    Behaviour("behind: DNS outage", dns_outage_behind),
    Behaviour("behind: download manager", download_manager),
    Behaviour("behind: passive FTP", ftp_through_nat),
)
