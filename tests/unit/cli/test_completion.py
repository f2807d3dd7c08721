"""What the shell offers: what the daemon knows, nothing that an attacker wrote, and never an error."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import BashComplete

from monitor.cli.main import cli
from monitor.cli.target import Target
from monitor.control.protocol import AllowList, ListBans, Request, Status
from monitor.model.bans import NOT_DETECTORS
from tests.unit.cli.test_escapes import HOSTILE

_KNOWN: dict[type[Request], Any] = {
    Status: {"detectors": [{"name": "sshd"}, {"name": "port_scan"}, {"name": HOSTILE}]},
    ListBans: {"bans": [{"network": "192.0.2.1"}, {"network": "192.0.2.7"}, {"network": "198.51.100.7"}]},
    AllowList: [{"network": "192.0.2.9", "reason": "allowed by command"}, {"network": "192.0.2.8", "reason": "own"}],
}


def _offered(words: list[str], typed: str) -> list[str]:
    found = BashComplete(cli, {}, "nodewarden", "_NODEWARDEN_COMPLETE").get_completions(words, typed)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        ([], "hist", ["history"]),
        (["list", "--detector"], "s", ["sshd"]),
        (["history", "--detector"], "", ["sshd", "port_scan", "recidive", "prefix", "manual", "fleet"]),
        (["why"], "192.", ["192.0.2.1", "192.0.2.7"]),
        (["unban"], "198", ["198.51.100.7"]),
        (["allow", "remove"], "", ["192.0.2.9"]),
        (["filter", "test"], "drop", ["dropbear"]),
    ],
)
def test_what_is_known_is_offered(
    monkeypatch: pytest.MonkeyPatch, words: list[str], typed: str, offered: list[str]
) -> None:
    """Detectors, filters, banned and allowed networks."""
    monkeypatch.setattr(Target, "ask", lambda _, request: _KNOWN[type(request)])
    assert _offered(words, typed) == offered


@pytest.mark.parametrize("words", [["list", "--detector"], ["why"], ["allow", "remove"]])
def test_without_a_daemon_nothing_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]) -> None:
    """The shell shows no error while somebody types."""
    monkeypatch.setenv("NODEWARDEN_SOCKET", str(tmp_path / "none"))
    assert [one for one in _offered(words, "") if one not in NOT_DETECTORS] == []


def test_the_group_is_a_click_group() -> None:
    """Suggestions for mistyped commands leave completion and help as they are."""
    assert isinstance(cli, click.Group)
