"""`nodewarden drops`: what is printed of what was counted."""

from typing import Any

import pytest
from click.testing import CliRunner

from monitor.cli.main import cli
from monitor.daemon.selfcheck import drop_report
from monitor.daemon.selfcheck.drop_report import by_pod
from monitor.model.pods import Pod

FIREWALL, NO_MEMORY = "NETFILTER_DROP", "SOCKET_RCVBUFF"


def test_drops_are_added_up_by_whose_namespace_it_is() -> None:
    """Pods by name, the node, other namespaces by their number, and drops that show none; most first."""
    counted = {
        (7, FIREWALL): 5,
        (7, NO_MEMORY): 9,
        (8, FIREWALL): 2,
        (1, FIREWALL): 30,
        (0, FIREWALL): 1,
        (9, NO_MEMORY): 4,
    }
    names = {7: Pod("shop", "web-0"), 9: Pod("shop", "web-0")}
    found = by_pod(counted, names, own_netns=1)
    assert [(one["where"], one["is_pod"], one["packets"], one["classes"]) for one in found] == [
        ("the node itself", False, 30, {"firewall": 30}),
        ("shop/web-0", True, 18, {"no_memory": 13, "firewall": 5}),
        ("namespace 8", False, 2, {"firewall": 2}),
        ("not known", False, 1, {"firewall": 1}),
    ]
    assert [one["reasons"] for one in found[:2]] == [{FIREWALL: 30}, {NO_MEMORY: 13, FIREWALL: 5}]


def run(monkeypatch: pytest.MonkeyPatch, name: str, report: dict[str, Any], *arguments: str) -> str:
    """Run the command with what was counted; return its output."""
    monkeypatch.setattr(drop_report, name, lambda _seconds, _most: report)
    done = CliRunner().invoke(cli, ["drops", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_pods_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernel's reasons, most first, and why some have no name."""
    late = {(7, f"TCP_LATE_{number}"): number for number in range(1, 7)}
    pods = by_pod(
        {(7, FIREWALL): 1050, (1, NO_MEMORY): 10, (8, NO_MEMORY): 2} | late, {7: Pod("shop", "web-0")}, own_netns=1
    )
    report = {"seconds": 5.0, "pods": pods, "uncounted_packets": 3, "notices": ["pods are not named: no permission"]}
    text = run(monkeypatch, "watch_drops_by_pod", report, "--by", "pod")
    assert "pods are not named" in text
    assert "pod shop/web-0" in text
    assert "NETFILTER_DROP 1,050, TCP_LATE_6 6, TCP_LATE_5 5, TCP_LATE_4 4, 3 more\n" in text
    assert "the node itself" in text
    assert "namespace 8" in text
    assert "lsns" in text
    assert "3 more" in text


def test_what_is_no_lost_packet_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing dropped, although the kernel freed buffers."""
    released = {"no_packet": 4548, "teardown": 20}
    report = {"seconds": 5.0, "places": [], "released": released, "uncounted_packets": 0}
    text = run(monkeypatch, "watch_drops", report)
    assert "no packets were dropped" in text
    assert "not counted: 4,548 messages of local sockets, and 20 buffers" in text
