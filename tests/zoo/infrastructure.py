"""Services that networks consist of: names, time, addresses, routes, backups, telephony, tunnels."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.zoo import packets
from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED, OPEN
from tests.zoo.traffic import (
    ask,
    attempt_all,
    connect,
    datagram_socket,
    exchange,
    expect,
    is_reachable,
    request,
    say,
    together,
)

_WAIT_S = 0.5


def name_server(visit: Visit) -> None:
    """The node serves DNS: 20 resolvers ask by UDP, TCP and with large answers, and repeat what was lost."""
    server = ("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root")
    records = [f"--txt-record=big.zoo,{'x' * 250}"] * 4
    process = visit.node.start(*server, f"--listen-address={visit.address4}", "--address=/zoo/192.0.2.1", *records)
    time.sleep(1)
    try:
        for resolver in visit.outside(20):
            digs = [f"@{visit.address4}", "www.zoo", f"@{visit.address4}", "+tcp", "mail.zoo"]
            visit.world.run("dig", "-b", resolver, "+tries=1", "+time=2", *digs)
            for _ in range(10):
                visit.world.run("dig", "-b", resolver, "+tries=1", "+time=2", f"@{visit.address4}", "TXT", "big.zoo")
    finally:
        process.terminate()
        process.wait(5)


def resolver_on_node(visit: Visit) -> None:
    """The node resolves names: it asks 20 name servers, of which some answer late, twice or not at all."""
    servers = visit.outside(20)
    for _ in range(3):
        for number, server in enumerate(servers):
            with datagram_socket(visit.node, visit.address4) as made:
                port = made.getsockname()[1]
                made.sendto(bytes(30), (server, 53))
            if number % 2:
                late = packets.udp((server, 53), (visit.address4, port), bytes(80))
                packets.send(visit.world, [late, late])
    attempt_all(visit.node, [visit.address4], [(address, 53) for address in visit.silent(15)], wait_s=3)


def time_service(visit: Visit) -> None:
    """NTP in both directions: 30 clients ask the node, which asks four servers, from port 123 as ntpd does."""
    for client in visit.outside(30):
        for source_port in (0, 123, 0, 0):
            ask(visit.world, client, visit.address4, 123, b"\x23" + bytes(47), from_port=source_port)
    for server in visit.outside(4):
        ask(visit.node, visit.address4, server, 123, b"\x23" + bytes(47))


def discovery_of_services(visit: Visit) -> None:
    """SSDP and mDNS: 20 devices announce to groups, and answer the node's search from ports of their own."""
    devices = visit.inside(visit.neighbour, 20)
    with datagram_socket(visit.node, visit.node.address4) as made:
        port = made.getsockname()[1]
        made.sendto(b"M-SEARCH * HTTP/1.1\r\n\r\n", ("239.255.255.250", 1900))
    announced = []
    for number, device in enumerate(devices):
        announced += [packets.udp((device, 5353), ("224.0.0.251", 5353), bytes(60), ttl=255)] * 3
        announced += [packets.udp((device, 20000 + number), ("239.255.255.250", 1900), bytes(100), ttl=4)] * 3
        answer = packets.udp((device, 30000 + number), (visit.node.address4, port), bytes(200))
        packets.send(visit.neighbour, [answer] * 2)
    packets.send_multicast(visit.neighbour, announced)


def chatty_link(visit: Visit) -> None:
    """Broadcasts of one host to 20 services: NetBIOS, WS-Discovery, Dropbox, Spotify, licence servers and so on."""
    (source,) = visit.inside(visit.neighbour)
    ports = (
        137,
        138,
        1124,
        1900,
        3289,
        3702,
        5353,
        5355,
        5678,
        8610,
        8612,
        10001,
        17500,
        21027,
        22222,
        27036,
        32412,
        57621,
    )
    broadcast = [
        packets.udp((source, port), (destination, port), bytes(50))
        for port in ports
        for destination in ("10.88.0.255", "255.255.255.255")
    ]
    packets.send_multicast(visit.neighbour, broadcast * 2)


def dhcp(visit: Visit) -> None:
    """Clients without an address discover and request, and a server answers by broadcast."""
    server, *clients = visit.inside(visit.neighbour, 10)
    frames = [packets.udp(("0.0.0.0", 68), ("255.255.255.255", 67), bytes(300)) for _ in clients]
    frames += [packets.udp((server, 67), ("255.255.255.255", 68), bytes(300)) for _ in clients]
    packets.send_multicast(visit.neighbour, frames * 3)
    packets.send(visit.neighbour, [packets.udp((server, 67), (visit.node.address4, 68), bytes(300))] * 5)


def routers(visit: Visit) -> None:
    """VRRP advertisements, OSPF hellos, IGMP queries and reports, and a BGP peer that waits for the node."""
    router, peer = visit.inside(visit.neighbour, 2)
    (outside,) = visit.outside()
    group = packets.icmp(0x11, b"\x00" * 4)
    frames = [
        packets.ipv4(router, "224.0.0.18", packets.VRRP, bytes.fromhex("2133640100010000c0000203") + bytes(8), ttl=255),
        packets.ipv4(router, "224.0.0.5", 89, bytes(44), ttl=1),
        packets.ipv4(router, "224.0.0.1", packets.IGMP, group, ttl=1),
        packets.ipv4(router, "224.0.0.251", packets.IGMP, packets.icmp(0x16, b"\xe0\x00\x00\xfb"), ttl=1),
    ]
    packets.send_multicast(visit.neighbour, frames * 40)
    for _ in range(20):
        is_reachable(visit.neighbour, peer, visit.node.address4, 179)
    attempt_all(visit.world, [outside], [(visit.address4, 179)] * 20, wait_s=_WAIT_S)
    is_reachable(visit.node, visit.node.address4, peer, 179)


def rsync_backup(visit: Visit) -> None:
    """A backup server fetches by rsync, ten times, four at a time."""
    (server,) = visit.outside()
    config = visit.watch.logs.parent / f"rsyncd-{visit.target}.conf"
    config.write_text(f"address = {visit.address4}\n[logs]\npath = {visit.watch.logs}\nuid = root\nuse chroot = no\n")
    process = visit.node.start("rsync", "--daemon", "--no-detach", f"--config={config}")
    time.sleep(_WAIT_S)
    try:
        with ThreadPoolExecutor(4) as pool:
            fetch = ("rsync", "-r", f"--address={server}", f"rsync://{visit.address4}/logs/")
            done = list(pool.map(lambda _: visit.world.run(*fetch).stdout, range(10)))
        expect(sum("sshd.log" in listing for listing in done), 10, "backups")
    finally:
        process.terminate()
        process.wait(5)


def object_backup(visit: Visit) -> None:
    """restic writes by 40 connections at a time, three times, and its repository is away for a moment."""
    (client,) = visit.outside()
    for _ in range(3):
        expect(together(40, visit.world, client, visit.address4, 8000), 40, "uploads")
        attempt_all(visit.world, [client], [(visit.address4, 8001)] * 40, wait_s=_WAIT_S)


def storage_cluster(visit: Visit) -> None:
    """A Ceph client connects to 30 OSDs of the node, and to 20 ports of OSDs that are down."""
    (client,) = visit.inside(visit.neighbour)
    ports = [(visit.node.address4, port) for port in range(6800, 6850)]
    for _ in range(2):
        expect(attempt_all(visit.neighbour, [client], ports, wait_s=1), 30, "OSDs reached")


def telephony(visit: Visit) -> None:
    """A SIP trunk: 40 calls with a port of their own each; after a hang-up some RTP packets still arrive."""
    (trunk,) = visit.outside()
    for number in range(40):
        ask(visit.world, trunk, visit.address4, 5060, b"INVITE sip:100@zoo SIP/2.0\r\n\r\n", from_port=5060)
        port = 16384 + 2 * number
        with datagram_socket(visit.node, visit.address4, port) as media:
            media.sendto(bytes(172), (trunk, 20000 + 2 * number))
            say(visit.world, trunk, visit.address4, [port] * 20, bytes(172), from_port=20000 + 2 * number)
        say(visit.world, trunk, visit.address4, [port, port + 1], bytes(172), from_port=20000 + 2 * number)
    visit.node.run("conntrack", "-D", "-p", "udp", "-s", trunk, check=False)  # as if half a minute had passed
    visit.node.run("conntrack", "-D", "-p", "udp", "-d", trunk, check=False)
    for number in range(40):
        say(visit.world, trunk, visit.address4, [16384 + 2 * number], bytes(172), from_port=20000 + 2 * number)


def media_stream_after_hang_up(visit: Visit) -> None:
    """A caller's telephone does not notice the end of a call: a minute of RTP to a closed port, here at once."""
    (caller,) = visit.outside()
    with datagram_socket(visit.node, visit.address4, 17000) as media:
        media.sendto(bytes(172), (caller, 20002))
    say(visit.world, caller, visit.address4, [17000] * 3500, bytes(172), from_port=20002)


def log_sender(visit: Visit) -> None:
    """A server sends its log by UDP to the node's syslog, which restarts: 4,000 datagrams to a closed port."""
    (sender,) = visit.outside()
    with datagram_socket(visit.node, visit.address4, 514):
        say(visit.world, sender, visit.address4, [514] * 500, bytes(200), from_port=41514)
    say(visit.world, sender, visit.address4, [514] * 4000, bytes(200), from_port=41514)


def vpn_roaming(visit: Visit) -> None:
    """WireGuard and OpenVPN clients change address and port every packet or so, and IPsec tries again and again."""
    for number, address in enumerate(visit.outside(20)):
        for port in (51820, 1194, 500, 4500):
            ask(visit.world, address, visit.address4, port, bytes(148), from_port=30000 + number)
        esp = packets.ipv4(address, visit.address4, 50, bytes(100))
        packets.send(visit.world, [esp] * 10)


def vpn_is_down(visit: Visit) -> None:
    """The node's VPN service is away: 20 clients repeat their handshakes, one of them by all ports it knows."""
    for client in visit.outside(20):
        say(visit.world, client, visit.address4, [1195, 51821] * 10, bytes(148), from_port=31000)
        attempt_all(visit.world, [client], [(visit.address4, 1195)] * 3, wait_s=0.1)


def message_broker(visit: Visit) -> None:
    """500 sensors behind one address keep a connection to the broker; it restarts, and all come back at once."""
    (gateway,) = visit.outside()
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connect(visit.world, gateway, visit.address4, 5222))
    attempt_all(visit.world, [gateway], [(visit.address4, 5223)] * 150, wait_s=1)
    expect(together(200, visit.world, gateway, visit.address4, 5222), 200, "connections")


def mail_exchange(visit: Visit) -> None:
    """A large mail provider delivers from 20 addresses, with greylisting: each comes back three times."""
    for server in visit.outside(20):
        for _ in range(3):
            with connect(visit.world, server, visit.address4, 25) as link:
                exchange(link, b"EHLO mx.example\r\n")


def load_test(visit: Visit) -> None:
    """The operator measures with ab: 3,000 requests, 50 at a time."""
    (client,) = visit.outside()
    done = visit.world.run(
        "ab", "-q", "-k", "-B", client, "-n", "3000", "-c", "50", f"http://{visit.address4}/", timeout_s=60
    )
    expect("Complete requests:      3000" in done.stdout, 1, "requests complete")
    request(visit.world, client, visit.address4, 80)


_BOTH = (OPEN, GUARDED)
BEHAVIOURS = (
    Behaviour("dns: the node is a name server", name_server, _BOTH),
    Behaviour("dns: the node is a resolver", resolver_on_node, (GUARDED, OPEN)),
    Behaviour("infrastructure: NTP", time_service, _BOTH),
    Behaviour("infrastructure: SSDP and mDNS", discovery_of_services),
    Behaviour("infrastructure: broadcasts of a link", chatty_link),
    Behaviour("infrastructure: DHCP", dhcp),
    Behaviour("infrastructure: VRRP, OSPF, IGMP, BGP", routers, _BOTH),
    Behaviour(
        "infrastructure: Ceph client with OSDs down",
        storage_cluster,
        expects_observed="an internal source calls closed ports: worth knowing, not worth cutting off",
    ),
    Behaviour("infrastructure: mail exchange", mail_exchange),
    Behaviour("infrastructure: 500 sensors behind one address", message_broker, _BOTH),
    Behaviour("infrastructure: log sender, syslog restarts", log_sender, _BOTH),
    Behaviour("infrastructure: load test with ab", load_test),
    Behaviour("backup: rsync", rsync_backup, _BOTH),
    Behaviour("backup: restic, 40 connections", object_backup, _BOTH),
    Behaviour("voip: SIP trunk with 40 calls", telephony, (GUARDED, OPEN)),
    Behaviour("voip: RTP after the call", media_stream_after_hang_up, (OPEN, GUARDED)),
    Behaviour("vpn: clients roam", vpn_roaming, _BOTH),
    Behaviour("vpn: service is down", vpn_is_down, (GUARDED, OPEN)),
)
