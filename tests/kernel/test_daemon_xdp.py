"""The daemon with XDP: bans are the same with it and without it."""

import os
import signal
import socket
import struct

import pytest

from monitor.ebpf.links import attached_index
from monitor.ebpf.syscall import bpf
from monitor.ebpf.xdp import XdpProgram
from tests.support.bpf import programs, programs_of
from tests.support.daemon import wait_for
from tests.support.open_site import OpenSite, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel

_QUIET = "sources: {kernel_log: {enabled: false}}\n"
_LINK_DETACH = 34  # linux/bpf.h
_XDP = "bans: {xdp: {interfaces: [eth0]}}\n"


def xdp(site: OpenSite) -> dict[str, object]:
    """Return what the status says of the source."""
    return next(one for one in site.daemon.ask("status")["sources"] if one["name"] == "xdp")


def is_up(site: OpenSite) -> None:
    """Wait until XDP drops with all bans."""
    told = "XDP drops on eth0 (native)"
    wait_for(lambda: told in site.daemon.log, told, lambda: f"{xdp(site)}\n{site.daemon.log}", 20)


def reaches(site: OpenSite, address: str) -> bool:
    """Whether the attacker is answered."""
    return site.attacker.run("ping", "-c1", "-W1", address, check=False).returncode == 0


def stopped(site: OpenSite, name: str, where: str) -> float:
    """Return how many packets a set stopped: `xdp`, or `set` of nftables."""
    return site.daemon.metrics().get(f'nodewarden_{where}_dropped_packets_total{{set="{name}"}}', 0.0)


def test_bans_hold_in_front_and_behind(site: OpenSite) -> None:
    """What was banned before and after it came up is stopped in front, counted by set and by ban, until it is unbanned.

    Killed, nothing of it stays attached, and the sets of nftables take over without a gap.
    """
    site.start(_XDP)
    assert site.daemon.run("ban", site.attacker.address4).returncode == 0
    is_up(site)
    assert not reaches(site, site.node.address4)
    assert stopped(site, "ban4", "xdp") == 1
    assert stopped(site, "ban4", "set") == 0
    (ban,) = site.daemon.ask("why", site.attacker.address4)["bans"]
    assert ban["kernel"]["packets"] == 1
    assert site.daemon.run("unban", site.attacker.address4).returncode == 0
    assert reaches(site, site.node.address4)

    assert site.daemon.run("ban", site.attacker.address4).returncode == 0
    (ours,) = programs_of(site.daemon.pid, "xdp_ban")
    assert site.daemon.process is not None
    site.daemon.process.send_signal(signal.SIGKILL)
    site.daemon.process.wait(5)
    wait_for(lambda: ours not in programs("xdp_ban"), "the program to go")
    assert not reaches(site, site.node.address4)


def test_the_allowlist_and_spoofable_bans(site: OpenSite) -> None:
    """Who is allowed afterwards passes at once; a shun is for connection tracking, never for XDP."""
    site.start(_XDP)
    is_up(site)
    assert site.daemon.run("ban", "10.88.0.0/30").returncode != 0, "the node itself is inside"
    assert site.daemon.run("ban", site.attacker.address4).returncode == 0
    assert not reaches(site, site.node.address4)
    assert site.daemon.run("allow", "add", site.attacker.address4).returncode == 0
    assert reaches(site, site.node.address4)
    assert site.daemon.run("allow", "remove", site.attacker.address4).returncode == 0
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-159", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"))
    assert stopped(site, "ban4", "xdp") == 1


def test_it_comes_and_goes_by_reload(site: OpenSite) -> None:
    """Switched on and off while bans are in force: they hold all the time."""
    site.start()
    assert site.daemon.run("ban", site.attacker.address4).returncode == 0
    assert xdp(site)["state"] == "off"
    site.daemon.configure(_QUIET + _XDP)
    assert site.daemon.run("reload").returncode == 0
    is_up(site)
    (ours,) = programs_of(site.daemon.pid, "xdp_ban")
    assert not reaches(site, site.node.address4)
    assert (stopped(site, "ban4", "set"), stopped(site, "ban4", "xdp")) == (0, 1)
    assert site.daemon.metrics()['nodewarden_xdp_attached{interface="eth0",mode="native"}'] == 1
    site.daemon.configure(_QUIET)
    assert site.daemon.run("reload").returncode == 0
    wait_for(lambda: ours not in programs("xdp_ban"), "the program to go")
    assert not reaches(site, site.node.address4)
    assert stopped(site, "ban4", "set") == 1


def test_a_flood_of_syns_is_named(site: OpenSite) -> None:
    """Counted before any firewall: two thousand SYNs, of which the firewall's log says nothing."""
    site.start(_XDP + "detectors: {syn_rate: {mode: enforce, maxretry: 1500}, half_open: {mode: observe}}\n")
    is_up(site)
    site.attacker.run("hping3", "-q", "-i", "u500", "-c", "2000", "-S", "-p", "7", site.node.address4, check=False)
    site.until((site.attacker.address4, "shun", "syn_rate"))


def test_an_interface_that_comes_and_goes(site: OpenSite) -> None:
    """Missing, created, renamed, named back, and replaced by another: a problem while it is not there."""
    site.start("bans: {xdp: {interfaces: [eth0, late0]}}\n")
    is_up(site)
    told = "XDP does not drop on late0: there is no interface late0; nftables enforces all bans"
    assert told in site.daemon.ask("status")["problems"]
    assert "needs the interface late0: there is no such interface" in site.daemon.run("doctor").stdout

    def is_attached() -> bool:
        return site.daemon.metrics()['nodewarden_xdp_attached{interface="late0",mode="native"}'] == 1

    made, gone = "link add late0 type veth peer name late1", "link del late0"
    for commands, expected in (
        ((made,), True),
        (("link set late0 name other0",), False),
        (("link set other0 name late0",), True),
        ((gone, made), True),
        ((gone,), False),
    ):
        for command in commands:
            site.node.run("ip", *command.split())
        wait_for(lambda: is_attached() is expected, f"{commands}", lambda: site.daemon.log)  # noqa: B023
        assert (told in site.daemon.ask("status")["problems"]) is not expected


def test_a_program_that_others_detach_comes_back(site: OpenSite) -> None:
    """The descriptor stays open, but the kernel no longer calls the program: that is noticed, and repaired."""
    with site.node.entered():
        program = XdpProgram(max_bans=16, max_prefixes=16)
    try:
        with site.node.entered():
            program.attach("eth0")
            (link,) = [descriptor for descriptor, _, _ in program._links.values()]
            index = socket.if_nametoindex("eth0")
            assert attached_index(link) == index
            bpf(_LINK_DETACH, struct.pack("=I", link))
            assert attached_index(link) == 0
            program.attach("eth0")
            (link,) = [descriptor for descriptor, _, _ in program._links.values()]
            assert attached_index(link) == index
    finally:
        program.close()


def test_a_copy_of_the_descriptor_keeps_nothing_attached(site: OpenSite) -> None:
    """A descriptor that could not be closed, or that a child inherited, would keep our own program in our way."""
    with site.node.entered():
        program = XdpProgram(max_bans=16, max_prefixes=16)
    copies = []
    try:
        with site.node.entered():
            for _ in range(2):
                program.attach("eth0")
                (link,) = [descriptor for descriptor, _, _ in program._links.values()]
                copies.append(os.dup(link))
                program.detach("eth0")
                assert attached_index(copies[-1]) == 0
    finally:
        program.close()
        for copy in copies:
            os.close(copy)
