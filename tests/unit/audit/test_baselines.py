"""Baselines: what is kept of a node, read again from hostile files, and compared with a later state."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audit import baselines
from monitor.audit.baseline import Baseline
from monitor.audit.baselines import decode_baseline, make_baseline, read_baseline, write_baseline
from monitor.audit.difference import difference
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.audit.reach import Listener, Outcome, Probe, Reach, Verdict
from monitor.model.errors import ConfigError
from tests.unit.audit.test_parse import chain, rule
from tests.unit.audit.test_rule_checks import base, facts, port

_ACCEPT, _DROP = {"accept": None}, {"drop": None}
_SSH = rule("INPUT", port(22), _ACCEPT)


def _verdict(number: int, outcome: Outcome = Outcome.REACHED, zone: Zone = Zone.WORLD, **more: Any) -> Verdict:
    return Verdict(probe=Probe(zone=zone, protocol="tcp", address="192.0.2.1", port=number), outcome=outcome, **more)


def _state(*items: dict[str, Any], verdicts: tuple[Verdict, ...] = (), **more: Any) -> Baseline:
    zones = more.pop("zones", tuple(Zone))
    listeners = (Listener(protocol="tcp", address="0.0.0.0", port=22, process="sshd"),)
    return make_baseline(facts(*items, reach=Reach(listeners=listeners, verdicts=verdicts), **more), "node", zones)


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Open ports, digests and rules are in the file, and come back."""
    translated = _verdict(80, to_address="10.0.0.1", to_port=8080)
    state = _state(base(policy="drop"), _SSH, verdicts=(_verdict(22), translated))
    assert state.open == {"world tcp/22": "sshd", "world tcp/80": "translated to 10.0.0.1:8080"}
    assert [str(line) for line in state.rules["ip filter"]] == [
        "INPUT: filter hook input priority 0 policy drop",
        "INPUT: tcp dport 22 accept",
    ]
    write_baseline(tmp_path / "baseline.json", state)
    assert read_baseline(tmp_path / "baseline.json") == state


def test_rules_and_ports_that_came_and_went_are_listed_with_whose_they_are() -> None:
    """Added and removed rules, opened and closed ports; kube-proxy's rules are none."""
    before = _state(base(policy="drop"), _SSH, verdicts=(_verdict(22), _verdict(80)))
    after = _state(
        base(policy="drop"),
        chain("ufw-user-input"),
        rule("INPUT", {"jump": {"target": "KUBE-SERVICES"}}),
        rule("INPUT", port(8080), _ACCEPT),
        rule("ufw-user-input", port(25), _ACCEPT),
        verdicts=(_verdict(22), _verdict(25), _verdict(443, Outcome.DROPPED)),
    )
    found = difference(before, after)
    assert [(one.port, one.text) for one in found.opened] == [("world tcp/25", "")]
    assert [one.port for one in found.closed] == ["world tcp/80"]
    (table,) = found.tables
    assert [(str(line), line.author) for line in table.added] == [
        ("INPUT: tcp dport 8080 accept", "operator"),
        ("ufw-user-input: tcp dport 25 accept", "ufw"),
    ]
    assert [str(line) for line in table.removed] == ["INPUT: tcp dport 22 accept"]
    assert table.summary() == "2 rules added, 1 removed"
    assert not difference(before, before)


@pytest.mark.parametrize(
    ("before", "after", "summary"),
    [
        ((), (base(policy="drop"), _SSH), "2 rules added, the table is new"),
        ((base(policy="drop"), _SSH), (), "2 rules removed, the table is gone"),
        (
            (_SSH, rule("INPUT", port(1), _DROP)),
            (rule("INPUT", port(1), _DROP), _SSH),
            "the order of rules changed",
        ),
        ((_SSH,), (_SSH, _SSH), "1 rule added"),
        ((base(policy="drop"), _SSH), (base(policy="accept"), _SSH), "1 rule added, 1 removed"),
    ],
)
def test_a_table_is_new_gone_or_in_another_order(before: Any, after: Any, summary: str) -> None:
    """What lists of rules do not say is said in words."""
    (change,) = difference(_state(*before), _state(*after)).tables
    assert change.summary() == summary


def test_what_either_state_does_not_know_is_no_change() -> None:
    """Undecided ports, zones that were not tried and lacking parts are neither opened nor closed."""
    before = _state(_SSH, verdicts=(_verdict(22), _verdict(80, zone=Zone.PODS), _verdict(9, Outcome.UNKNOWN)))
    now = _state(_SSH, verdicts=(_verdict(22, Outcome.UNKNOWN), _verdict(9)), zones=(Zone.WORLD,))
    assert not difference(before, now)
    blind = _state(lacks={Part.REACH: "not root", Part.RULESET: "no nft"})
    found = difference(before, blind)
    assert not found
    assert found.unknown == ("ports: not root", "rules: no nft")


def test_no_baseline_is_written_of_what_is_unknown(tmp_path: Path) -> None:
    """A baseline without ports would accept nothing and call everything new."""
    with pytest.raises(ConfigError, match="not root"):
        write_baseline(tmp_path / "baseline.json", _state(lacks={Part.REACH: "not root"}))
    assert not list(tmp_path.iterdir())


def test_a_very_long_ruleset_is_compared_by_its_digest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound no rules are kept, on either side of it; that something changed is still known."""
    monkeypatch.setattr(baselines, "_MAX_LINES", 4)
    many = [rule("INPUT", port(number), _ACCEPT) for number in range(1, 5)]
    long, short = _state(base(), *many), _state(base(), *many[:3])
    assert not long.rules
    assert len(short.rules["ip filter"]) == 4
    for before, now in ((long, short), (short, long)):
        (change,) = difference(before, now).tables
        assert change.summary() == "its rules changed, and are too many to be listed"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version": 2, "time_s": 1}',
        b'{"time_s": 1e300}',
        b'{"time_s": 1, "rules": {"x": [["a"]]}}',
        b'{"time_s": 1, "open": {"x": 1}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_baseline_is_refused_by_name(content: bytes) -> None:
    """Empty, damaged, foreign and later files are the operator's to replace."""
    with pytest.raises(ConfigError, match="/x/y: "):
        decode_baseline(content, "/x/y")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\0")])
def test_a_missing_file_a_directory_and_bytes_are_refused(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    """What cannot be read is said with the path."""
    make(tmp_path / "b")
    with pytest.raises(ConfigError, match=str(tmp_path)):
        read_baseline(tmp_path / "b")


@given(st.dictionaries(st.sampled_from(Baseline.__struct_fields__), st.none() | st.integers() | st.text(max_size=4)))
@settings(max_examples=50)
def test_any_object_is_a_baseline_or_refused(fields: dict[str, Any]) -> None:
    """Whatever a file holds, reading it raises nothing else."""
    try:
        content = msgspec.json.encode(fields)
    except (OverflowError, UnicodeEncodeError):
        return
    with contextlib.suppress(ConfigError):
        assert decode_baseline(content, "x").time_s > 0


def test_facts_without_anything_make_an_empty_state() -> None:
    """Nothing gathered is no error."""
    assert make_baseline(Facts(), "node").is_empty
