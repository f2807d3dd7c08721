"""The XDP program: its verdicts by BPF_PROG_TEST_RUN, its counts, where it is attached."""

import contextlib
import ipaddress
import os
import random
import time
from collections.abc import Iterator

import pytest

from monitor.ebpf.maps import library
from monitor.ebpf.xdp import SETS, XdpProgram
from monitor.model.addresses import Network, host, parse_address, parse_network
from monitor.model.errors import PermanentError, TemporaryError
from tests.support.bpf import programs, programs_of, run_once
from tests.support.frames import DROP, PASS, all_shapes, ethernet, extensions, ipv4, ipv6, tcp, udp, verdict
from tests.support.lab import Lab

pytestmark = pytest.mark.kernel

BANNED4, BANNED6, FREE4, FREE6 = "192.0.2.7", "2001:db8:7::7", "198.51.100.7", "2001:db8:f::7"
SHORTEST = 14  # what BPF_PROG_TEST_RUN takes


@pytest.fixture
def program() -> Iterator[XdpProgram]:
    """Load a program that is attached to nothing."""
    with contextlib.closing(XdpProgram(max_bans=4096, max_prefixes=64)) as program:
        yield program


def ban(program: XdpProgram, *networks: str, for_s: float = 60.0) -> None:
    """Ban these."""
    now_s = time.time()
    program.put([(parse_network(network), now_s + for_s) for network in networks], now_s)


def frame(source: str) -> bytes:
    """Return the frame of a SYN."""
    return ethernet(ipv4(source, tcp()), 0x0800) if "." in source else ethernet(ipv6(source, tcp()), 0x86DD)


def drops(program: XdpProgram, source: str) -> bool:
    """Whether what this source sends is dropped."""
    return run_once(program.program, frame(source))[0] == DROP


@pytest.mark.parametrize("sources", [(BANNED4, BANNED6), (FREE4, FREE6)], ids=["banned", "free"])
def test_every_truncation_of_every_shape(program: XdpProgram, sources: tuple[str, str]) -> None:
    """Options, fragments, tags upon tags, chains of extension headers, cut anywhere: always the verdict documented."""
    ban(program, BANNED4, BANNED6)
    banned = {parse_address(BANNED4), parse_address(BANNED6)}
    seen = {DROP: 0, PASS: 0}
    for whole in all_shapes(*sources):
        for length in range(SHORTEST, len(whole) + 1):
            cut = whole[:length]
            expected = verdict(cut, banned.__contains__)
            assert run_once(program.program, cut)[0] == expected, cut.hex()
            seen[expected] += 1
    assert seen[PASS] > 1000
    assert (seen[DROP] > 1000) == (sources[0] == BANNED4)
    assert sum(packets for packets, _ in program.totals().values()) == seen[DROP]


def test_random_bytes(program: XdpProgram) -> None:
    """Frames with bytes changed at random get the verdict documented."""
    ban(program, "192.0.0.0/8", BANNED6)
    chance = random.Random(20)
    shapes = list(all_shapes(BANNED4, BANNED6))

    def is_banned(address: bytes) -> bool:
        return address[0] == 192 if len(address) == 4 else address == parse_address(BANNED6)

    seen = set()
    for _ in range(20_000):
        changed = bytearray(chance.choice(shapes))
        for _ in range(chance.randrange(4)):
            changed[chance.randrange(12, min(len(changed), 60))] = chance.choice((0, 4, 6, 17, 69, 96, 129, 255))
        expected = verdict(bytes(changed), is_banned)
        assert run_once(program.program, bytes(changed))[0] == expected, changed.hex()
        seen.add(expected)
    assert seen == {DROP, PASS}


def test_who_is_stopped(program: XdpProgram) -> None:
    """Single addresses and prefixes of both families until their end; the allowlist before all; counted by set."""
    ban(program, BANNED4, "203.0.113.0/24", BANNED6, "2001:db8:aa::/48")
    inside = ["203.0.113.9", "2001:db8:aa::1"]
    assert all(drops(program, source) for source in (BANNED4, BANNED6, *inside))
    assert not any(drops(program, source) for source in (FREE4, FREE6, "203.0.112.255", "2001:db8:ab::1"))
    size = len(frame(BANNED4)), len(frame(BANNED6))
    assert program.totals() == dict(zip(SETS, ((1, size[0]), (1, size[1])) * 2, strict=True))
    assert program.stopped(parse_network("203.0.113.0/24")) == (1, size[0])
    assert program.stopped(parse_network("203.0.113.9")) == (0, 0)

    program.allow([parse_network("203.0.113.8/31"), parse_network("2001:db8:aa::/64"), parse_network(BANNED4)])
    assert not any(drops(program, source) for source in (BANNED4, *inside))
    assert drops(program, "203.0.113.10")
    program.allow([])
    assert all(drops(program, source) for source in (BANNED4, *inside))

    ban(program, BANNED4, for_s=120)
    assert program.stopped(parse_network(BANNED4)) == (2, 2 * size[0]), "a longer ban goes on counting"
    program.remove(parse_network(BANNED4))
    program.remove(parse_network(BANNED4))
    program.remove(parse_network("203.0.113.0/24"))
    assert not drops(program, BANNED4)
    assert not drops(program, "203.0.113.10")


def test_bans_end_by_themselves(program: XdpProgram) -> None:
    """Nobody needs to take a ban out for its end to count."""
    ban(program, BANNED4, "203.0.113.0/24", for_s=-1.0)
    assert not drops(program, BANNED4)
    assert not drops(program, "203.0.113.1")
    ban(program, BANNED4, for_s=1.5)
    assert drops(program, BANNED4)
    time.sleep(1.6)
    assert not drops(program, BANNED4)
    ban(program, BANNED4, for_s=1e12)
    assert drops(program, BANNED4), "centuries are no overflow"


def test_what_does_not_fit(program: XdpProgram) -> None:
    """More prefixes than there is room for: said, and those that are in stay."""
    ban(program, *(f"10.{number}.0.0/16" for number in range(64)))
    with pytest.raises(TemporaryError, match="xdp_ban4_nets"):
        ban(program, "10.64.0.0/16")
    assert drops(program, "10.63.1.1")
    assert not drops(program, "10.64.1.1")


def test_it_holds_what_it_was_told(program: XdpProgram) -> None:
    """A thousand random changes: the maps hold the same as a dictionary."""
    chance = random.Random(6)
    held: dict[Network, float] = {}
    now_s = time.time()
    networks = [host(parse_address(f"192.0.2.{number}")) for number in range(20)]
    networks += [parse_network(f"10.{number}.0.0/{length}") for number in range(0, 8, 4) for length in (14, 16, 20)]
    networks += [parse_network(f"2001:db8:{number:x}::/{length}") for number in range(8) for length in (48, 64, 128)]
    for _ in range(1000):
        network = chance.choice(networks)
        if chance.random() < 0.6:
            held[network] = now_s + chance.uniform(1000, 1e6)
            program.put([(network, held[network])], time.time())
        else:
            held.pop(network, None)
            program.remove(network)
    left = {network: until_s - time.time() for network, until_s in held.items()}
    assert program.held() == pytest.approx(left, abs=0.5)
    assert len(held) > 10


def test_senders_are_counted(program: XdpProgram) -> None:
    """SYNs and UDP packets, behind tags, options and extension headers, of who sends many; no answers, no fragments."""
    options = bytes(8)
    chain6, payload6 = extensions(udp(), 17, 0, 60, 43)
    senders = {
        "192.0.2.1": (ethernet(ipv4("192.0.2.1", tcp()), 0x0800), "syn_packets"),
        "192.0.2.2": (ethernet(ipv4("192.0.2.2", udp(), 17, options=options), 0x0800, 0x8100), "udp_packets"),
        "2001:db8::3": (ethernet(ipv6("2001:db8::3", payload6, chain6), 0x86DD), "udp_packets"),
        "192.0.2.4": (ethernet(ipv4("192.0.2.4", tcp(0x12)), 0x0800), ""),
        "192.0.2.5": (ethernet(ipv4("192.0.2.5", tcp(0x10)), 0x0800), ""),
        "192.0.2.6": (ethernet(ipv4("192.0.2.6", udp(), 17, fragment=0x10), 0x0800), ""),
        # tunnels: an inner source never counts
        "192.0.2.7": (ethernet(ipv4("192.0.2.7", ipv4("192.0.2.66", tcp()), 4), 0x0800), ""),
        "192.0.2.8": (ethernet(ipv4("192.0.2.8", ipv6("2001:db8::66", tcp()), 41), 0x0800), ""),
        "2001:db8::9": (ethernet(ipv6("2001:db8::9", ipv4("192.0.2.66", tcp()), 4), 0x86DD), ""),
    }
    assert list(program.poll(0.0)) == []
    for whole, _ in senders.values():
        run_once(program.program, whole, repeat=1000)
    looked = {str(ipaddress.ip_address(one.source)): one for one in program.poll(1.0)}
    assert set(looked) == {source for source, (_, kind) in senders.items() if kind}
    for source, one in looked.items():
        kind = senders[source][1]
        assert 980 <= getattr(one, kind) <= 1000
        assert one.syn_packets + one.udp_packets == getattr(one, kind)


def test_senders_among_forged_ones(program: XdpProgram) -> None:
    """Twenty true senders among 40,000 sources with a packet each: all are found, and nobody else with many packets."""
    true = {f"10.0.0.{number}" for number in range(20)}
    chance = random.Random(4)
    order = [*true] * 500 + [str(ipaddress.ip_address(chance.randrange(0x20000000, 0x60000000))) for _ in range(40_000)]
    chance.shuffle(order)
    found: dict[str, int] = {}
    for number, source in enumerate(order):
        run_once(program.program, frame(source))
        if number % 10_000 == 9_999:
            for one in program.poll(float(number)):
                name = str(ipaddress.ip_address(one.source))
                found[name] = found.get(name, 0) + one.syn_packets
    assert {name for name, count in found.items() if count > 5} == true, "who shares cells is counted exactly, too"
    assert all(350 <= found[name] <= 500 for name in true), found


def test_attached_and_gone() -> None:
    """Natively to a veth, until it is closed; an interface that comes anew under its name is seen to."""
    with Lab("node", "outside", label="xdp") as lab, lab["node"].entered():
        node, outside = lab["node"], lab["outside"]
        with contextlib.closing(XdpProgram(max_bans=64, max_prefixes=64)) as program:
            own = programs_of(os.getpid(), "xdp_ban")
            program.attach("eth0")
            assert program.modes == {"eth0": "native"}
            outside.run("ping", "-c1", "-W2", node.address4)
            ban(program, outside.address4, outside.address6)
            for address in (node.address4, node.address6):
                assert outside.run("ping", "-c1", "-W1", address, check=False).returncode == 1
            assert program.stopped(host(parse_address(outside.address4)))[0] >= 1
            with pytest.raises(TemporaryError, match="there is no interface nic9"):
                program.attach("nic9")
            node.run("ip", "link", "add", "nic9", "type", "veth", "peer", "name", "nic8")
            program.attach("nic9")
            node.run("ip", "link", "del", "nic9")
            with pytest.raises(TemporaryError, match="there is no interface nic9"):
                program.attach("nic9")
            node.run("ip", "link", "add", "nic9", "type", "veth", "peer", "name", "nic8")
            program.attach("nic9")
            assert "prog/xdp" in node.run("ip", "link", "show", "dev", "nic9").stdout
        assert "prog/xdp" not in node.run("ip", "link", "show").stdout
        outside.run("ping", "-c1", "-W2", node.address4)
    assert own
    assert not own & programs("xdp_ban")


def test_a_driver_that_cannot() -> None:
    """Where the driver has no XDP the kernel runs the program itself; where there is no Ethernet there is none."""
    with Lab("node", label="xdp") as lab, lab["node"].entered():
        node = lab["node"]
        node.run("ip", "link", "add", "br0", "type", "bridge")
        node.run("ip", "link", "set", "lo", "up")
        with contextlib.closing(XdpProgram(max_bans=64, max_prefixes=64)) as program:
            program.attach("br0")
            assert program.modes == {"br0": "generic"}
            with pytest.raises(PermanentError, match="lo carries no Ethernet frames"):
                program.attach("lo")


@pytest.mark.parametrize("mode", ["xdpgeneric", "xdpdrv"])
def test_anothers_program_stays(mode: str) -> None:
    """Whatever mode it runs in, it is left alone, and we say so."""
    with Lab("node", label="xdp") as lab, lab["node"].entered():
        node = lab["node"]
        with contextlib.closing(XdpProgram(max_bans=64, max_prefixes=64)) as theirs:
            flags = {"xdpgeneric": 1 << 1, "xdpdrv": 1 << 2}[mode]
            assert library().bpf_attach_xdp(b"eth0", theirs.program, flags) == 0
            shown = node.run("ip", "link", "show", "dev", "eth0").stdout
            with contextlib.closing(XdpProgram(max_bans=64, max_prefixes=64)) as program:
                with pytest.raises(TemporaryError, match="another XDP program is attached to eth0"):
                    program.attach("eth0")
                assert node.run("ip", "link", "show", "dev", "eth0").stdout == shown
            library().bpf_attach_xdp(b"eth0", -1, flags)
