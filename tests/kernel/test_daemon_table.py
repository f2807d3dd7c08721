"""What others do to the table of a running daemon while it is blind, and what they add to it."""

import os
import re
import signal
from typing import Any

import pytest

from monitor.control.client import ask
from monitor.control.protocol import ListBans, Request, Status, Unban
from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel

T = "inet nodewarden"


def _flood_and(site: Site, command: str) -> None:
    """Have a transaction that overruns the daemon's buffer, with 180,000 foreign elements, end with a command.

    The daemon stands still meanwhile: on a quiet machine it reads as fast as the kernel writes.
    """
    lines = ["table inet other { set s { type ipv4_addr; }\n }"]
    for second in range(6):
        texts = (f"10.{second}.{n >> 8}.{n & 255}" for n in range(30_000))
        lines.append(f"add element inet other s {{ {', '.join(texts)} }}")
    os.kill(site.daemon.pid, signal.SIGSTOP)
    try:
        site.node.nft("\n".join([*lines, command]) + "\n")
    finally:
        os.kill(site.daemon.pid, signal.SIGCONT)


def _ask(site: Site, request: Request) -> Any:
    return ask(site.daemon.configuration_path.with_name("control.sock"), request)


def _foreign(site: Site) -> dict[str, str]:
    listed = _ask(site, ListBans(foreign=True, detector="foreign"))["bans"]
    return {one["network"]: one["reason"] for one in listed}


def test_what_a_flood_of_notifications_hides_is_reverted(site: Site) -> None:
    """One transaction overruns the buffer and flushes rules, allowlist and prefixes: comparisons find all of it."""
    site.configure("bans: {allowlist: [198.51.100.128/25]}")
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "203.0.113.0/24", "--for", "2h")

    def lines() -> list[str]:
        listed = site.node.run("nft", "-s", "list", "table", "inet", "nodewarden", check=False).stdout
        return [line.strip() for line in listed.splitlines()]

    def is_whole() -> bool:
        now = lines()
        elements = ("203.0.113.0/24", "192.0.2.1", "198.51.100.128/25")
        return set(rules) <= set(now) and all(one in "".join(now) for one in elements)

    rules = [line for line in lines() if line.endswith(("drop", "accept", ";", "{", "saddr }"))]
    assert is_whole()
    _flood_and(
        site,
        f"flush chain {T} ban\nflush set {T} allow4\nflush set {T} ban4_nets\nflush set {T} ban4\n"
        f"add element {T} ban4_nets {{ 198.51.100.0/24 timeout 1h }}\n",
    )
    wait_for(is_whole, "the repair", lambda: site.daemon.log)
    wait_for(lambda: _foreign(site), "the foreign element", lambda: site.daemon.log)
    assert list(_foreign(site)) == ["198.51.100.0/24"]
    metrics = site.daemon.metrics()
    for kind in ("overrun", "rules_changed", "element_added"):
        assert metrics[f'nodewarden_table_drift_total{{kind="{kind}"}}'] >= 1, kind
    assert "rules of chain ban is missing" in site.daemon.log
    assert _ask(site, Status())["problems"] == []


def test_elements_that_others_add_are_listed_explained_and_removed(site: Site) -> None:
    """`nft add element` by hand: known at once with its author; `unban` removes it, and it is no ban in any count."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "--for", "2h")
    for name, text in (("ban4", "203.0.113.1 timeout 1h"), ("shun4_nets", "198.51.100.0/24")):
        site.node.run("nft", f"add element {T} {name} {{ {text} }}")
    wait_for(lambda: len(_foreign(site)) == 2, "the elements to be noticed", lambda: site.daemon.log)
    assert re.fullmatch(r"added by nft \(pid \d+\)", _foreign(site)["203.0.113.1"])
    assert re.search(r"nft \(pid \d+\) changed the table inet nodewarden: element_added", site.daemon.log)
    status = _ask(site, Status())
    assert (status["problems"], status["bans"]["ban"]) == ([], 1)
    assert any(notice.startswith("2 elements of the sets") for notice in status["notices"])
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_set_foreign_elements{set="ban4"}'] == 1
    assert metrics['nodewarden_set_foreign_elements{set="shun4_nets"}'] == 1
    assert metrics['nodewarden_bans{detector="manual",mode="enforce",strength="proven"}'] == 1
    told = site.daemon.run("why", "198.51.100.9").stdout
    for text in ("198.51.100.9 is not banned by nodewarden", "198.51.100.0/24 is in the shun set", "ends in: never"):
        assert text in told
    (refused,) = _ask(site, Unban(["198.51.100.9"]))
    assert "198.51.100.0/24 (added by nft" in refused["text"]
    assert [one["network"] for one in _ask(site, ListBans())["bans"]] == ["192.0.2.1"]
    done = _ask(site, Unban(["203.0.113.1", "198.51.100.0/24"]))
    assert [(one["done"], "deleted" in one["text"]) for one in done] == [(True, True)] * 2
    listed = site.node.run("nft", "list", "table", "inet", "nodewarden").stdout
    assert "192.0.2.1" in listed
    assert not [text for text in ("203.0.113.1", "198.51.100.0/24") if text in listed]
    assert _foreign(site) == {}
    assert _ask(site, Unban(["203.0.113.1"]))[0]["text"] == "not banned"
