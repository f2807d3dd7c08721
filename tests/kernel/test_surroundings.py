"""What the node needs for itself, read from and followed on a real kernel."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.model.errors import TemporaryError
from monitor.node import surroundings
from monitor.node.addresses import Node, read_node
from monitor.node.changes import NodeChanges
from monitor.node.routes import TOO_MANY_ROUTES
from monitor.node.surroundings import Reading, Surroundings
from monitor.node.sysctls import read_sysctls
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.unit.sources.test_sessions import LOGIND, utmp_record

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a host of its own for each test."""
    with Lab("node", "router", label="around") as lab:
        yield lab["node"]


class Followed:
    """Surroundings on a loop of their own, in a thread inside the host's namespace."""

    def __init__(self, node: Host, root: Path) -> None:
        self.changes: list[Reading] = []
        self._node = node
        self._root = root
        self._ports = root / "proc/sys/net/ipv4/ip_local_port_range"
        self._ports.parent.mkdir(parents=True)
        self.set_ports("32768\t60999\n")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Followed":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self) -> None:
        with self._node.entered():
            asyncio.run(self._follow())

    async def _follow(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.surroundings = Surroundings(self.changes.append, root=self._root)
        self.surroundings.attach(self.loop)
        self._ready.set()
        while not self._end.is_set():
            self.surroundings.tick()
            await asyncio.sleep(0.05)
        self.surroundings.close()

    def set_ports(self, text: str) -> None:
        """Write the sysctl net.ipv4.ip_local_port_range."""
        self._ports.write_text(text)

    def reasons(self) -> dict[str, str]:
        """Return what is protected now, and why."""
        return {str(entry.network): entry.reason for entry in self.surroundings.reading.entries}

    def becomes(self, condition: Callable[[dict[str, str]], bool], what: str) -> None:
        """Wait until what is protected meets a condition."""
        wait_for(lambda: condition(self.reasons()), what)


def gateways(node: Host) -> list[str]:
    """Return the default gateways as read inside the host."""
    with node.entered():
        entries = read_node([]).entries
    return [str(entry.network) for entry in entries if entry.reason == "a default gateway of this node"]


def test_addresses_are_those_of_ip_addr(node: Host) -> None:
    """Every address that `ip addr` lists is found, of both families, secondary and point-to-point ones too."""
    node.run("ip", "addr", "add", "10.88.0.50/24", "dev", "eth0")
    node.run("ip", "addr", "add", "10.99.0.1", "peer", "10.99.0.2", "dev", "eth0")
    listed = json.loads(node.run("ip", "-j", "addr").stdout)
    expected = {address["local"] for link in listed for address in link["addr_info"]}
    with node.entered():
        found = {str(entry.network) for entry in read_node([]).entries if entry.reason == "an address of this node"}
    assert found == expected
    assert "10.99.0.1" in found


def test_gateways_are_those_of_ip_route(node: Host) -> None:
    """Every gateway of the default routes that `ip route` lists in all tables is found, and no other."""
    for route in (
        "default via 10.88.0.2",
        "default via 10.88.0.3 metric 100",
        "default via 10.88.0.4 table 4242",
        "192.0.2.0/24 via 10.88.0.9",
        "default via inet6 fd88::9 metric 7",
        "unreachable default metric 9999",
    ):
        node.run("ip", "route", "add", *route.split())
    for route in ("default via fd88::2", "default via fd88::3 metric 5 table 77", "2001:db8::/32 via fd88::8"):
        node.run("ip", "-6", "route", "add", *route.split())
    expected = set()
    for family in ("-4", "-6"):
        for route in json.loads(node.run("ip", family, "-j", "route", "show", "table", "all").stdout):
            if route["dst"] == "default" and route.get("type", "unicast") == "unicast":
                expected.add(route["gateway"] if "gateway" in route else route["via"]["host"])
    assert set(gateways(node)) == expected
    assert len(expected) == 6


def test_every_hop_of_a_multipath_route_counts(node: Host) -> None:
    """Default routes over two gateways, of both families and mixed, protect both."""
    hops = "nexthop via 10.88.0.2 dev eth0 nexthop via inet6 fd88::3 dev eth0"
    node.run("ip", "route", "add", "default", *hops.split())
    node.run("ip", "-6", "route", "add", "default", "nexthop", "via", "fd88::4", "nexthop", "via", "fd88::5")
    assert sorted(gateways(node)) == ["10.88.0.2", "fd88::3", "fd88::4", "fd88::5"]


@pytest.mark.parametrize("compatible", ["0", "1"])
def test_gateways_in_nexthop_objects_are_found(node: Host, compatible: str) -> None:
    """Single objects and groups, whether or not the kernel repeats the gateway in the route."""
    node.run("sysctl", "-qw", f"net.ipv4.nexthop_compat_mode={compatible}")
    for identity, gateway in (("1", "10.88.0.2"), ("2", "10.88.0.3"), ("3", "fd88::4")):
        node.run("ip", "nexthop", "add", "id", identity, "via", gateway, "dev", "eth0")
    node.run("ip", "nexthop", "add", "id", "10", "group", "1/2")
    node.run("ip", "route", "add", "default", "nhid", "10")
    node.run("ip", "-6", "route", "add", "default", "nhid", "3")
    assert sorted(gateways(node)) == ["10.88.0.2", "10.88.0.3", "fd88::4"]


def test_many_routes_are_read_in_time(node: Host, tmp_path: Path) -> None:
    """Among 50,000 other routes the default gateway is found, within the time there is."""
    batch = tmp_path / "routes"
    batch.write_text("".join(f"route add 20.{n >> 8}.{n & 255}.0/24 via 10.88.0.2\n" for n in range(50_000)))
    node.run("ip", "-batch", batch)
    node.run("ip", "route", "add", "default", "via", "10.88.0.7")
    assert gateways(node) == ["10.88.0.7"]
    with node.entered():
        assert read_node([]).notices == [TOO_MANY_ROUTES]


def test_only_what_matters_is_notified(node: Host) -> None:
    """Routes of daemons do not wake us; addresses, default and static routes, and links that go down do."""
    with node.entered():
        changes = NodeChanges()
    try:
        for protocol in ("bird", "zebra", "bgp", "ospf", "ra"):
            node.run("ip", "route", "add", "192.0.2.0/24", "via", "10.88.0.2", "protocol", protocol)
            node.run("ip", "route", "del", "192.0.2.0/24")
        node.run("ip", "-6", "route", "add", "2001:db8::/32", "via", "fd88::2", "protocol", "bird")
        assert not changes.drain()
        for command in (
            "addr add 10.88.0.50/24 dev eth0",
            "route add default via 10.88.0.2",
            "route del default",
            "route add 192.0.2.0/24 via 10.88.0.2",
            "route del 192.0.2.0/24",
            "-6 route add 2001:db8:1::/48 via fd88::2 protocol static",
            "-6 route add default via fd88::2",
            "nexthop add id 1 via 10.88.0.2 dev eth0",
            "link set eth0 down",
        ):
            node.run("ip", *command.split())
            assert changes.drain(), command
            assert not changes.drain()
    finally:
        changes.close()


def test_addresses_and_gateways_are_followed(node: Host, tmp_path: Path) -> None:
    """What is added is protected within moments, and what is removed no longer; also when a link takes it along."""
    with Followed(node, tmp_path) as followed:
        node.run("ip", "addr", "add", "10.88.0.50/24", "dev", "eth0")
        followed.becomes(lambda found: "10.88.0.50" in found, "the address")
        node.run("ip", "route", "add", "default", "via", "10.88.0.2")
        followed.becomes(lambda found: found.get("10.88.0.2") == "a default gateway of this node", "the gateway")
        node.run("ip", "addr", "del", "10.88.0.50/24", "dev", "eth0")
        followed.becomes(lambda found: "10.88.0.50" not in found, "the address to go")
        node.run("ip", "link", "set", "eth0", "down")
        followed.becomes(lambda found: "10.88.0.2" not in found, "the gateway to go")


def behind(reading: Reading) -> set[str]:
    """Return the networks behind the node."""
    return {str(network) for network in reading.networks.behind}


def test_networks_behind_the_node_are_followed(node: Host, tmp_path: Path) -> None:
    """A container bridge counts at once, all else only while there is a default route; an uplink never does."""
    with Followed(node, tmp_path) as followed:
        assert behind(followed.surroundings.reading) == set()
        assert "10.88.0.0/24" in map(str, followed.surroundings.reading.networks.uplink)

        def becomes(expected: set[str], *commands: str) -> None:
            for command in commands:
                node.run("ip", *command.split())
            wait_for(lambda: behind(followed.surroundings.reading) == expected, f"{commands}")

        bridge = {"172.30.0.0/16", "fd30::/64"}
        becomes(
            bridge,
            "link add docker0 type bridge",
            "link set docker0 up",
            "addr add 172.30.0.1/16 dev docker0",
            "addr add fd30::1/64 dev docker0 nodad",
        )
        becomes(
            bridge,
            "link add pod0 type veth peer name inside",
            "link set pod0 up",
            "link set inside up",
            "route add 10.244.3.7 dev pod0",
        )
        becomes({*bridge, "10.244.3.7"}, "route add default via 10.88.0.2")
        becomes({*bridge, "10.244.3.7", "192.0.2.0/24"}, "route add 192.0.2.0/24 via 172.30.0.9")
        becomes({*bridge, "10.244.3.7"}, "route del 192.0.2.0/24")
        becomes({"10.244.3.7"}, "-6 route add default via fd30::9 dev docker0")
        becomes({*bridge, "10.244.3.7"}, "-6 route del default")
        becomes(bridge, "link del pod0")
        becomes(set(), "link del docker0")


def test_a_bridge_with_a_port_that_leaves_is_none_of_containers(node: Host) -> None:
    """Without a default route, the bridge of an interface of the outside counts no longer."""
    node.run("ip", "link", "add", "br0", "type", "bridge")
    node.run("ip", "addr", "add", "172.30.0.1/16", "dev", "br0")
    node.run("ip", "link", "add", "outside", "type", "ifb")
    with node.entered():
        assert [str(network) for network in read_node([]).networks.behind] == ["172.30.0.0/16"]
    node.run("ip", "link", "set", "outside", "master", "br0")
    with node.entered():
        assert read_node([]).networks.behind == ()


def test_nexthop_objects_have_interfaces(node: Host) -> None:
    """An uplink and a network behind the node, both by objects, as routing daemons write them."""
    node.run("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0")
    for command in (
        "link add inside type ifb",
        "link set inside up",
        "nexthop add id 1 via 10.88.0.2 dev eth0",
        "nexthop add id 2 dev inside",
        "nexthop add id 10 group 1",
        "route add default nhid 10",
        "route add 198.18.0.0/15 nhid 2",
    ):
        node.run("ip", *command.split())
    with node.entered():
        found = read_node([]).networks
    assert [str(network) for network in found.behind] == ["198.18.0.0/15"]
    assert "10.88.0.0/24" in map(str, found.uplink)


def test_sysctls_and_routes_of_daemons_are_polled(node: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is notified: a new port range, and a route that a routing daemon sets."""
    monkeypatch.setattr(surroundings, "_POLL_S", 0.05)
    monkeypatch.setattr(surroundings, "_ROUTES_S", 0.3)
    node.run("ip", "route", "add", "default", "via", "10.88.0.2")
    node.run("ip", "link", "add", "inside", "type", "ifb")
    node.run("ip", "link", "set", "inside", "up")
    with Followed(node, tmp_path) as followed:
        assert followed.surroundings.reading.sysctls.local_ports == (32_768, 60_999)
        followed.set_ports("1024\t65535\n")
        wait_for(lambda: followed.surroundings.reading.sysctls.local_ports == (1024, 65_535), "the port range")
        node.run("ip", "route", "add", "192.0.2.0/24", "dev", "inside", "protocol", "bird")
        wait_for(lambda: behind(followed.surroundings.reading) == {"192.0.2.0/24"}, "the route")


def test_the_port_range_is_that_of_the_network_namespace(node: Host) -> None:
    """As the kernel has it for the node, whatever another namespace has."""
    node.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 30000")
    with node.entered():
        assert read_sysctls().local_ports == (20_000, 30_000)
    assert read_sysctls().local_ports != (20_000, 30_000)


def test_what_changes_nothing_is_not_told(node: Host, tmp_path: Path) -> None:
    """An address that comes and goes while things settle leads to no change."""
    with Followed(node, tmp_path) as followed:
        node.run("ip", "-batch", "-", input_text="addr add 10.88.0.50/24 dev eth0\naddr del 10.88.0.50/24 dev eth0\n")
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        followed.becomes(lambda found: "192.0.2.53" in found, "the resolver")
        assert len(followed.changes) == 1


def test_a_resolver_file_replaced_by_rename_is_followed(node: Host, tmp_path: Path) -> None:
    """The way resolvconf, NetworkManager and systemd-resolved write it; the old resolver is not protected any more."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    with Followed(node, tmp_path) as followed:
        assert followed.reasons()["192.0.2.53"] == "a resolver of this node"
        (etc / "resolv.conf.new").write_text("nameserver 192.0.2.54\n")
        (etc / "resolv.conf.new").rename(etc / "resolv.conf")
        followed.becomes(lambda found: "192.0.2.54" in found and "192.0.2.53" not in found, "the resolver")


def test_a_login_is_protected_while_it_lasts(node: Host, tmp_path: Path) -> None:
    """A record appended to utmp, then a session of systemd-logind; each ends with its session."""
    utmp, sessions = tmp_path / "run" / "utmp", tmp_path / "run" / "systemd" / "sessions"
    sessions.mkdir(parents=True)
    with Followed(node, tmp_path) as followed:
        with utmp.open("ab") as file:
            file.write(utmp_record("192.0.2.7"))
        followed.becomes(
            lambda found: found.get("192.0.2.7") == "administrator's session: root on pts/0", "the login in utmp"
        )
        (sessions / "4").write_text(LOGIND)
        followed.becomes(lambda found: "2001:db8::7" in found, "the session of systemd-logind")
        with utmp.open("r+b") as file:  # as login(1) ends one: in place
            file.write(utmp_record("0.0.0.0", kind=8))
        (sessions / "4").unlink()
        followed.becomes(lambda found: not {"192.0.2.7", "2001:db8::7"} & set(found), "the logins to end")


def test_a_node_that_joins_a_cluster_is_followed(node: Host, tmp_path: Path) -> None:
    """Files that appear with their directories are heeded; notices tell doubts; settings can turn all that off."""
    with Followed(node, tmp_path) as followed:
        (tmp_path / "var/lib/kubelet").mkdir(parents=True)
        config = tmp_path / "var/lib/kubelet/config.yaml"
        config.write_text("clusterDNS: [10.96.0.10]\npodCIDR: 0.0.0.0/0\n")
        followed.becomes(lambda found: "10.96.0.10" in found, "the cluster's DNS")
        assert "larger than allowed" in followed.surroundings.notices[0]
        followed.loop.call_soon_threadsafe(lambda: followed.surroundings.reconfigure(sessions=True, kubernetes=False))
        followed.becomes(lambda found: "10.96.0.10" not in found, "the setting to take hold")
        assert followed.surroundings.notices == []


def test_a_reading_that_fails_is_repeated(node: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the kernel does not answer, the old entries stay, and it is a problem; then the change is taken up."""
    failing = threading.Event()

    def read(files: list[Path]) -> Node:
        if failing.is_set():
            raise TemporaryError("no answer")
        return read_node(files)

    monkeypatch.setattr(surroundings, "read_node", read)
    monkeypatch.setattr(surroundings, "_RETRY_S", 0.3)
    with Followed(node, tmp_path) as followed:
        failing.set()
        node.run("ip", "addr", "add", "10.88.0.50/24", "dev", "eth0")
        problem = "no answer; the allowlist may be outdated"
        wait_for(lambda: followed.surroundings.problems == [problem], "the problem")
        assert node.address4 in followed.reasons()
        failing.clear()
        followed.becomes(lambda found: "10.88.0.50" in found, "the address")
        assert followed.surroundings.problems == []


def test_a_change_while_reading_is_not_missed(node: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes after it was read, but before the reading ended, is read once more."""
    reading, changed = threading.Event(), threading.Event()

    def read(files: list[Path]) -> Node:
        node = read_node(files)
        if threading.current_thread().name.startswith("asyncio"):
            reading.set()
            assert changed.wait(10)
        return node

    monkeypatch.setattr(surroundings, "read_node", read)
    monkeypatch.setattr(surroundings, "_MAX_SHARE", 1.0)
    with Followed(node, tmp_path) as followed:
        node.run("ip", "addr", "add", "10.88.0.50/24", "dev", "eth0")
        assert reading.wait(10)
        node.run("ip", "addr", "add", "10.88.0.51/24", "dev", "eth0")
        changed.set()
        followed.becomes(lambda found: "10.88.0.51" in found, "the second address")
