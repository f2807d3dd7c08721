"""`nodewarden drops`: what is printed of what was counted."""

from typing import Any

import pytest
from click.testing import CliRunner

from monitor.cli.main import cli
from monitor.daemon.selfcheck import drop_report
from monitor.daemon.selfcheck.drop_report import by_pod
from monitor.ebpf.reasons import ReasonClass
from monitor.model.pods import Pod

FIREWALL, NO_MEMORY = ReasonClass.FIREWALL, ReasonClass.NO_MEMORY


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
    assert by_pod(counted, names, own_netns=1) == [
        {"where": "the node itself", "is_pod": False, "packets": 30, "classes": {"firewall": 30}},
        {"where": "shop/web-0", "is_pod": True, "packets": 18, "classes": {"no_memory": 13, "firewall": 5}},
        {"where": "namespace 8", "is_pod": False, "packets": 2, "classes": {"firewall": 2}},
        {"where": "not known", "is_pod": False, "packets": 1, "classes": {"firewall": 1}},
    ]


def run(monkeypatch: pytest.MonkeyPatch, name: str, report: dict[str, Any], *arguments: str) -> str:
    """Run the command with what was counted; return its output."""
    monkeypatch.setattr(drop_report, name, lambda _seconds, _most: report)
    done = CliRunner().invoke(cli, ["drops", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_pods_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the classes of reasons, and why some have no name."""
    pods = by_pod({(7, FIREWALL): 50, (1, NO_MEMORY): 10}, {7: Pod("shop", "web-0")}, own_netns=1)
    report = {"seconds": 5.0, "pods": pods, "uncounted_packets": 3, "notices": ["pods are not named: no permission"]}
    text = run(monkeypatch, "watch_drops_by_pod", report, "--by", "pod")
    assert "pods are not named" in text
    assert "pod shop/web-0" in text
    assert "firewall 50" in text
    assert "the node itself" in text
    assert "3 more" in text


def test_what_is_no_lost_packet_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing dropped, although the kernel freed buffers."""
    released = {"no_packet": 4548, "teardown": 20}
    report = {"seconds": 5.0, "places": [], "released": released, "uncounted_packets": 0}
    text = run(monkeypatch, "watch_drops", report)
    assert "no packets were dropped" in text
    assert "not counted: 4,548 messages of local sockets, and 20 buffers" in text
