"""A daemon that rests, on a real kernel: whoever asks it hears what is wrong at that moment."""

import time
from pathlib import Path

import pytest

from monitor.daemon.life.pace import CURRENT_S, REST_S
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Lab

_EVENTS = "net.netfilter.nf_conntrack_events"


@pytest.mark.parametrize("is_scrape", [False, True])
def test_who_asks_a_resting_daemon_hears_what_is_wrong_now(is_scrape: bool, tmp_path: Path) -> None:
    """A sysctl that hides evidence wakes nobody; the first `status` or scrape after it says so, and that it is over."""
    with Lab("node", label="rest") as lab:
        daemon = Daemon(lab["node"], tmp_path, "detectors: {port_scan: {}}\n")
        daemon.start()
        try:
            time.sleep(4)  # it rests
            for value in (0, 1) * 2:
                lab["node"].run("sysctl", "-qw", f"{_EVENTS}={value}")
                time.sleep(CURRENT_S + 0.5)  # a tick that began before takes less than half a second
                if is_scrape:
                    wrong = [series for series, shown in daemon.metrics().items() if shown and _is_problem(series)]
                    assert bool(wrong) == (value == 0), wrong
                else:
                    problems = daemon.run("status").stdout.partition("PROBLEM")[2]
                    assert (_EVENTS in problems) == (value == 0), problems
        finally:
            daemon.stop()


def _is_problem(series: str) -> bool:
    return series.startswith("nodewarden_problem{")


def test_an_interface_that_is_replaced_has_xdp_soon(tmp_path: Path) -> None:
    """One without addresses, so that nothing of the node's surroundings is another: only links were reported."""
    with Lab("node", label="rest") as lab:
        node = lab["node"]
        make = ("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
        node.run(*make)
        daemon = Daemon(node, tmp_path, "detectors: {port_scan: {}}\nbans: {xdp: {interfaces: [port0]}}\n")
        daemon.start()
        try:
            wait_for(lambda: "xdp" in node.run("ip", "link", "show", "port0").stdout, "XDP", lambda: daemon.log)
            time.sleep(4)  # it rests
            node.run("ip", "link", "del", "port0")
            node.run(*make)
            node.run("ip", "link", "set", "port0", "up")
            wait_for(
                lambda: "xdp" in node.run("ip", "link", "show", "port0").stdout,
                "XDP on the new interface",
                lambda: daemon.log,
                REST_S / 2,
            )
        finally:
            daemon.stop()
