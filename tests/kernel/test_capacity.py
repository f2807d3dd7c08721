"""A flood of forged sources fills what it may fill, and takes nothing from bans on proof and by hand."""

import contextlib
import json

import pytest

from monitor.ebpf.xdp import XdpProgram
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.model.addresses import Network, host
from monitor.model.bans import MAX_ALLOWED
from monitor.model.errors import TemporaryError
from tests.kernel.conftest import site
from tests.kernel.test_daemon_logs import Logs, logs
from tests.support.daemon import wait_for
from tests.support.lab import Lab
from tests.zoo.packets import SYN, send, tcp

__all__ = ["logs", "site"]

pytestmark = pytest.mark.kernel

_FORGED = [f"198.18.{number >> 8}.{number & 255}" for number in range(1, 3001)]
_GUESSERS = [f"203.0.113.{number}" for number in range(1, 21)]


def forge(logs: Logs, sources: list[str]) -> None:
    """Send two first packets of each source to ports that are closed."""
    node = logs.site.node.address4
    for port in (100, 101):
        send(logs.site.attacker, [tcp((source, 40000), (node, port), SYN) for source in sources])


def test_forged_sources_leave_room_and_budget_for_proof_and_orders(logs: Logs) -> None:
    """3,000 forged scanners spend the budget of shuns and fill all room; 20 guessers and an order are banned."""
    logs.site.configure(
        "bans: {max_bans: 21, budget: {bans_per_minute: 21}}\n"
        "detectors:\n  port_scan: {maxretry: 2}\n  failures:\n    sshd: {enabled: false}\n    " + logs.of_file() + "\n"
    )
    logs.path.touch()
    logs.daemon.start()
    forge(logs, _FORGED)
    refused = 'nodewarden_budget_refused_total{strength="spoofable"}'
    wait_for(lambda: logs.daemon.metrics()[refused] > 300, "a flood", lambda: logs.daemon.log, 20)
    wait_for(lambda: logs.daemon.ask("status")["bans"]["no_room_for"] == ["spoofable"], "no room", timeout_s=20)
    problems = "\n".join(logs.daemon.ask("status")["problems"])
    assert "bans.max_bans is reached (21 spoofable): new bans of spoofable are refused" in problems
    assert "more than bans.budget.bans_per_minute (21) bans: the rest of the class shun are only observed" in problems
    room = next(part for part in logs.daemon.ask("doctor")["parts"] if part["name"] == "room")
    assert (room["state"], "bans.max_bans is reached" in room["requirements"][0]["missing"]) == (
        "could be better",
        True,
    )

    for _ in range(3):
        logs.write(*_GUESSERS)
    by_hand = "192.0.2.200"
    assert logs.daemon.run("ban", by_hand).returncode == 0
    logs.until_banned(*_GUESSERS, by_hand)
    assert all(logs.site.in_kernel(address) for address in (*_GUESSERS, by_hand))
    metrics = logs.daemon.metrics()
    assert metrics['nodewarden_budget_refused_total{strength="proven"}'] == 0
    assert metrics[refused] > 300
    assert (metrics['nodewarden_bans_full{class="proven"}'], metrics['nodewarden_bans_full{class="operator"}']) == (
        1,
        0,
    )


def apart(count: int, first: int) -> list[Network]:
    """Return addresses that do not merge."""
    return [host((0x0B000000 + 2 * number).to_bytes(4)) for number in range(first, first + count)]


def test_kernel_and_xdp_hold_the_largest_allowlist_and_one_that_replaces_it() -> None:
    """The allow sets and the maps take all that the guard admits, twice in a row; a map that is too small says so."""
    with Lab("node", label="caps") as lab, lab["node"].entered():
        enforcer = NftablesEnforcer(max_bans=16)
        with contextlib.closing(enforcer), contextlib.closing(XdpProgram(max_bans=16, max_prefixes=16)) as program:
            enforcer.setup([])
            for first in (0, MAX_ALLOWED):
                enforcer.set_allowlist(apart(MAX_ALLOWED, first))
                program.allow(apart(MAX_ALLOWED, first))
            listed = lab["node"].run("nft", "-j", "list", "set", "inet", "nodewarden", "allow4").stdout
            (held,) = (part["set"] for part in json.loads(listed)["nftables"] if "set" in part)
            assert len(held["elem"]) == MAX_ALLOWED
            enforcer.flush()
            enforcer.setup(apart(MAX_ALLOWED, 0))
            enforcer.flush()
        small = XdpProgram(max_bans=16, max_prefixes=16, max_allowed=8)
        with contextlib.closing(small), pytest.raises(TemporaryError, match="xdp_allow4"):
            small.allow(apart(9, 0))
