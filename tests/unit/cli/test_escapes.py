"""What attackers, clients and peers wrote reaches no terminal as it is: not from any command, not from the log."""

import ast
import logging
import unicodedata
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.main import cli
from monitor.cli.status import _ODDITIES
from monitor.control import protocol
from monitor.control.client import RequestRefused
from monitor.control.fleet_requests import FleetPardon, FleetStatus, FleetTrust
from monitor.control.protocol import Request
from monitor.daemon.life.log_formats import Text
from monitor.model.printable import printable, printable_lines

_CLI = Path(__file__).parents[3] / "monitor/cli"
HOSTILE = "\x1b[2J\x07\u202e\n2026-11-27 INFO\r\x9b1m\u200b\x00\udcff"
NET = "192.0.2.1"


def _ban(text: str) -> dict[str, Any]:
    times = {"since_s": 0.0, "until_s": 60.0, "left_s": 60.0}
    more: dict[str, Any] = {"detector": text, "origin": text, "reason": text, "kernel": None, "ports": []}
    return {"network": text, "set": "ban", "strength": text, "mode": "enforce", **times, **more}


def _results(text: str) -> dict[type, Any]:
    """Return an answer for each request, in which every text that is not one of a closed set is `text`."""
    ban, done = _ban(text), [{"network": text, "done": False, "text": text}]
    counts = {"count": 3, "maxretry": 2, "findtime_s": 60.0, "first_s": 0.0, "last_s": 1.0}
    past = {"time_s": 0.0, "what": text, "detector": text, "bantime_s": 1.0, "step": 1}
    evidence = {"counted": text, "sample": [text], "doubt": text, "last": text}
    entry = past | {"network": text, "standing": text, "reason": text}
    one = {"network": text, "count": 1, "sources": 2, "first_s": 0.0, "last_s": 1.0, "standing": text}
    named = [one | {"detectors": [text], "outcomes": [text], "standing_now": text}] * 16
    report = {
        "since_s": 0.0, "until_s": 1.0, "entries": 1, "unreadable": 1, "sources": named, "known": named,
        "detectors": [{"detector": text, "outcomes": {"ban": 2, text: 1}, "sources": 1, "known": {text: 1}}],
        "prefixes": named, "hours": [{"hour_s": 3600, "outcomes": {"ban": 2}}],
    }  # fmt: skip
    source = {"name": text, "state": text, "records": 0, "events": 0, "lost": 0, "malformed": 0, "lag_s": None}
    odd = dict.fromkeys((*_ODDITIES, "candidates", "failures"), 1)
    detector = {"name": text, "mode": text, "maxretry": 1, "findtime_s": 1, "bantime_s": 1, "alerts": 1}
    rule = {"detector": text, "network": text, "mode": text, "maxretry": 1, "findtime_s": 1, "bantime_s": 1}
    need = {"what": text, "missing": text, "repair": text}
    head = {"number": 1, "time_s": 0.0}
    events = [
        head | ban | {"event": "ban"},
        head | ban | {"event": "end", "cause": text, "remaining_until_s": None},
        head | {"event": "flood", "detector": text, "text": text},
        head | {"event": "trial", "name": text, "result": text, "text": text},
        head | {"event": "table_change", "author": text, "kind": text, "count": 1},
        head | {"event": "problem", "text": text},
        head | {"event": "allowlisted", "network": text, "detector": text, "text": text},
    ]
    said = {
        "version": text, "role": text, "mode": text, "configuration": text, "allowlist": text, "audit": text,
        "drift": 1, "published": 1, "adopted": 1, "refused": 1, "problems": 1, "observed_peers": [text],
        "allowed": {text: text},
    }  # fmt: skip
    other = said | {"version": "1", "role": "", "mode": "1", "configuration": "", "allowlist": "", "allowed": {}}
    node = {
        "name": text, "seen_s": 1.0, "is_alive": False, "is_self": False, "lag_s": 0.1, "enforced": 1, "observed": 1,
        "refused": 1, "breaker": text, "hello": said,
    }  # fmt: skip
    fleet = {
        "name": text, "url": text, "mode": text, "publish": True, "adopt": True, "quorum": 2, "is_connected": False,
        "changed_s": 1.0, "problem": text, "clock_offset_s": 0.0, "waiting": 1, "published": 1, "withdrawn": 1,
        "adopted": 1, "refused": {text: 1}, "pardons": 1, "allowed": 1, "nodes": 2, "alive": 1,
        "held": {"enforce": 1, "observe": 1},
        "differences": [{"subject": text, "nodes": [text], "text": text, "for_s": 1.0}],
    }  # fmt: skip
    listed = {"name": text, "set": text, "state": text, "entries": 1, "dropped": 1, "hits": 1}
    on_list = {"list": text, "entry": text, "set": "ban", "state": text, "is_spared": False}
    trial = {"name": text, "target": text, "content": text, "left_s": 9.0, "is_target_changed": True}
    return {
        FleetStatus: {"fleet": fleet, "nodes": [node, node | {"name": "other", "hello": other}], "after": ""},
        FleetPardon: done,
        FleetTrust: {"node": text, "text": text},
        protocol.Status: {
            "fleet": fleet, "version": text, "problems": [text],
            "trial": text, "notices": [text], "uptime_s": 1.0, "configuration": text,
            "metrics": text, "sources": [source | {"other": {text: 1}}],
            "filters": [odd | {"detector": text, "filter": text, "state": text, "reads": [text], "evidence": text}],
            "detectors": [
                detector | {"window_entries": 1, "evicted_keys": 1, "networks": [rule], "from": text}
            ],
            "bans": {"ban": 0, "shun": 0, "egress": 0, "observed": 0},
            "allowlist": 1, "dropped": {text: {"packets": 1, "bytes": 1}}, "table": text,
            "lists": [listed],
        },
        protocol.Doctor: {
            "is_sound": False, "is_daemon": True, "is_sandboxed": True, "account": text, "kernel": text,
            "is_native": False, "why_not_native": text,
            "parts": [{"state": "missing", "kind": text, "name": text, "requirements": [need]}],
        },
        protocol.ListBans: {"bans": [ban], "total": 1, "cursor": ""},
        protocol.Reload: {
            "waiting": [text],
            "detectors": [{"detector": text, "network": text, "extent": "nothing", "text": text}],
        },
        protocol.ApplyStatus: {"waiting": trial, "ended": None},
        protocol.ApplyBack: {"waiting": None, "ended": {"name": text, "target": text, "time_s": 1.0, "text": text}},
        protocol.Record: {
            "is_on": True, "is_enabled": True, "is_stopped": False, "is_remembered": True, "directory": text,
            "trouble": text, "bytes": 1, "max_bytes": 1, "max_age_s": 1.0, "written_bytes": 1, "events": 1,
            "only_counted": 0, "lost": {text: 1},
        },
        protocol.BanOrder: done,
        protocol.Unban: done,
        protocol.Why: {
            "network": text, "pod": text, "pods_hit": {text: 1},
            "allowlist": {"network": text, "reason": text}, "foreign": [ban],
            "bans": [ban | {"claims": [ban | {"origin": "peer"}]}],
            "pardon": {"left_s": 1.0, "reason": text},
            "leaked": [text], "rules": [rule], "counting": [{"detector": text, "count": 1, "maxretry": 2}],
            "witnesses": {text: {text: 1}}, "lists": [on_list | {"fetched_s": 0.0, "expires_s": 1.0}],
            "history": [past | counts | evidence, past | {"reason": text}],
        },
        protocol.Events: {"run": "1", "last": 6, "more": False, "lost": 0, "events": events},
        protocol.Top: {
            "time_s": 1.0, "enforces": True, "problems": [text], "lag_s": {text: 0.1}, "bans": {"ban": 1},
            "sources": [{"network": text, "detector": text, "mode": text, "count": 1, "maxretry": 2, "status": text}],
            "dropped_packets": {text: 1}, "pod_dropped_packets": {text: 1},
        },
        protocol.History: {"entries": [entry, entry | counts | evidence], "before": None},
        protocol.Report: report,
        protocol.AllowList: [{"network": text, "reason": text}],
        protocol.AllowAdd: done,
        protocol.AllowRemove: done,
        protocol.AllowTest: {"network": text, "reason": text},
        protocol.Flush: {"ended": 1},
    }  # fmt: skip


class Peer:
    """Stands where the daemon's socket would be, and answers with a text wherever it may."""

    def __init__(self, text: str) -> None:
        self.results = _results(text)

    def ask(self, request: Request) -> Any:
        """Answer a request."""
        return self.results[type(request)]

    def read_history(self, request: Request, _: Path) -> Any:
        """Answer a request for the history."""
        return self.ask(request)


COMMANDS = {
    "status": ["status"],
    "status --check": ["status", "--check"],
    "doctor": ["doctor"],
    "list": ["list"],
    "ban": ["ban", NET],
    "unban": ["unban", NET],
    "unban --fleet": ["unban", NET, "--fleet"],
    "why": ["why", NET],
    "fleet status": ["fleet", "status"],
    "fleet trust": ["fleet", "trust", "web-1"],
    "events": ["events"],
    "history": ["history"],
    "top": ["top", "--once"],
    "report": ["report"],
    "allow list": ["allow", "list"],
    "allow add": ["allow", "add", NET],
    "allow remove": ["allow", "remove", NET],
    "allow test": ["allow", "test", NET],
    "flush": ["flush"],
    "export": ["export"],
    "export nft": ["export", "--format", "nft"],
    "import": ["import", "-"],
    "reload": ["reload"],
    "apply --status": ["apply", "--status"],
    "apply --back": ["apply", "--back"],
    "record info": ["record", "info"],
}
_OF_FILES = {"audit", "compare", "config", "filter", "fail2ban", "label", "lists", "notify", "replay", "tune"}
"""Commands that read files: their tests are in test_command.py, test_filter.py, test_fail2ban.py, test_block_lists.py,
test_replay.py tests/unit/audit and tests/unit/tuning."""
_WITHOUT_TEXT = {"run", "drops"}


def run(arguments: list[str], text: str) -> Result:
    """Run a command against a peer that answers with a text."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    done = CliRunner().invoke(command, arguments, obj=Peer(text), input=f"{NET}\n")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def is_safe(text: str) -> bool:
    """Whether no terminal obeys anything in it but line ends."""
    return all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_prints_what_a_terminal_obeys(name: str) -> None:
    """Escape sequences, marks of direction, line ends: all are shown escaped, and none adds a line."""
    hostile, plain = run(COMMANDS[name], HOSTILE), run(COMMANDS[name], "x")
    assert is_safe(hostile.output)
    assert not any(line.startswith("2026-11-27 INFO") for line in hostile.output.splitlines())
    is_problem = name.startswith(("status", "top"))  # may have lines of its own, which are indented
    assert len(hostile.output.splitlines()) - is_problem == len(plain.output.splitlines())
    if name != "flush":
        assert "\\x1b[2J" in hostile.output


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "status --check" and "export" not in name])
def test_json_is_ascii(name: str) -> None:
    """JSON for programs escapes everything else by itself."""
    output = run([*COMMANDS[name], "--json"], HOSTILE).output
    assert output.isascii()
    assert is_safe(output)


def test_every_command_is_tried() -> None:
    """A new command must be added here, or said to print nothing of others."""
    tried = {arguments[0] for arguments in COMMANDS.values()}
    assert tried | _OF_FILES | _WITHOUT_TEXT == set(cli.commands)
    assert not tried & (_OF_FILES | _WITHOUT_TEXT)


def test_one_module_writes_to_the_terminal() -> None:
    """No command calls click.echo or print itself: `monitor/cli/show.py` escapes for all."""
    writers = set()
    for path in _CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("echo", "secho", "style", "echo_via_pager"):
                writers.add(path.name)
            if isinstance(node, ast.Name) and node.id in ("print", "Console"):
                writers.add(path.name)
    assert writers == {"show.py"}


def test_a_refusal_is_escaped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the daemon quotes of a request in an error."""
    from monitor.cli import entry, main

    def refuse(*_: object) -> None:
        raise RequestRefused(HOSTILE)

    monkeypatch.setattr(main.cli, "invoke", refuse)
    monkeypatch.setattr("sys.argv", ["nodewarden", "reload"])
    with pytest.raises(SystemExit):
        entry.main()
    assert is_safe(capsys.readouterr().err)


def test_the_log_escapes_messages_and_traces() -> None:
    """One line a message; the lines of a trace, whose text others may have chosen, are indented."""
    fault = ValueError(HOSTILE)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "of %s", (HOSTILE,), (ValueError, fault, None))
    text = Text().format(record)
    assert is_safe(text)
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


@given(st.text())
def test_any_text_becomes_printable_and_stays_itself_if_it_is(text: str) -> None:
    """No control, format or surrogate character is left, and escaping again changes nothing."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable_lines(text).count("\n") == text.count("\n")


def test_differences_of_hostile_nodes_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes choose what they say of themselves, and an administrator reads it."""
    whole = Peer(HOSTILE).results[FleetStatus]
    whole["nodes"][0]["name"] = "web-1"
    monkeypatch.setattr(Peer, "ask", lambda *_: whole)
    output = run(["fleet", "diff", "web-1", "other"], HOSTILE).output
    assert is_safe(output)
    assert "\\x1b[2J" in output
