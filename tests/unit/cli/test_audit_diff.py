"""`audit diff`: what is shown of a difference, and of what the daemon noticed."""

from typing import Any, cast

import pytest

from monitor.audit.baseline import Baseline, RuleLine
from monitor.audit.difference import Difference, PortChange, TableChange
from monitor.cli import audit_diff
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable

_CHANGE = {"table": "inet mine", "process": "nft", "pid": 7, "count": 2, "first_s": 100.0, "last_s": 200.0}


class _Target:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def ask(self, request: object) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def _seen(answer: Any) -> list[audit_diff.SeenChange]:
    return audit_diff._seen(cast("Target", _Target(answer)))


def test_ports_rules_and_processes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each port and rule, with whose it is and who changed the table; control characters are harmless."""
    found = Difference(
        opened=(PortChange("world tcp/80", "nginx\x1b[2J"),),
        closed=(PortChange("pods tcp/22", ""),),
        tables=(
            TableChange(
                table="inet mine",
                added=(RuleLine("input", "tcp dport 80 accept", "ufw"),),
                removed=(RuleLine("input", "drop", "operator"),),
            ),
        ),
        unknown=("rules: no nft",),
    )
    audit_diff._say(Baseline(time_s=1.0, node="web-1"), found, _seen({"rule_changes": [_CHANGE]}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("compared with web-1 at 1970-01-01")
    assert lines[1:4] == [
        "not compared: rules: no nft",
        "opened for world: tcp/80 (nginx\\x1b[2J)",
        "closed for pods: tcp/22",
    ]
    assert lines[4:7] == [
        "table inet mine: 1 rule added, 1 removed",
        "  + input: tcp dport 80 accept  [ufw]",
        "  - input: drop",
    ]
    assert lines[7].startswith("  changed by nft (pid 7) at 1970-01-01")
    assert "2 times since" in lines[7]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        {"rule_changes": 7},
        {"rule_changes": {}},
        {"rule_changes": [{"table": 1}]},
        DaemonUnreachable("no"),
    ],
)
def test_a_daemon_that_says_nothing_of_changes_costs_nothing_else(answer: Any) -> None:
    """An older daemon, one that does not run, and a strange answer leave the processes unknown."""
    assert _seen(answer) == []
