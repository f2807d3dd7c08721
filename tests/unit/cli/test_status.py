"""What `nodewarden status` shows."""

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitor.cli.status import status
from monitor.control.protocol import Request

_SOURCE = {"trouble": "", "records": 0, "events": 0, "lost": 0, "malformed": 0, "lag_s": None, "other": {}}
_FILTER = {"evidence": "", "origin": "", "state": "up", "trouble": "", "candidates": 0, "failures": 0}
_ODD = dict.fromkeys(("ignored", "unusable", "misdated", "outdated", "stale", "timeouts", "skipped"), 0)


class Answer:
    """Stands where the daemon's socket would be."""

    def __init__(self, **more: Any) -> None:
        self.result = {
            "version": "1",
            "problems": [],
            "notices": [],
            "mode": {"since_s": 0.0, "observed": 0},
            "uptime_s": 90.0,
            "configuration": "/etc/nodewarden/nodewarden.yaml",
            "metrics": None,
            "sources": [],
            "filters": [],
            "detectors": [],
            "bans": {"ban": 0, "shun": 0, "egress": 0, "observed": 0},
            "allowlist": 1,
            "dropped": {},
            "table": "not set up",
        } | more

    def ask(self, request: Request) -> Any:
        """Answer a request."""
        return self.result


def shown(**more: Any) -> list[str]:
    """Return the lines of the screen."""
    done = CliRunner().invoke(status, obj=Answer(**more), catch_exceptions=False)
    assert done.exit_code == 0
    return [" ".join(line.split()) for line in done.output.splitlines()]


def test_a_trial_that_waits_comes_first() -> None:
    """Who looks sees at the top that the configuration goes back automatically, and only once."""
    text = "trial configuration x.yaml, 8m left"
    lines = shown(trial=text, notices=[text, "something else"], problems=["a problem"])
    assert lines[1:3] == ["PROBLEM: a problem", text]
    assert sum(text in line for line in lines) == 1
    assert "note: something else" in lines


def test_all_sources_are_listed() -> None:
    """One line each: how it is, what it read; what need not happen is named only where it did."""
    kernel = {"name": "kernel_log", "state": "up", "records": 70, "events": 60, "lag_s": 0.0021}
    lines = shown(
        sources=[
            _SOURCE | kernel | {"other": {"foreign": 12, "excluded": 0, "overruns": 1}},
            _SOURCE | {"name": "journal", "state": "down", "trouble": "there is no journal"},
            _SOURCE | {"name": "files", "state": "waiting for files"},
        ]
    )
    start = lines.index("SOURCE STATE RECORDS EVENTS LOST MALFORMED LAG ALSO")
    assert lines[start + 1 : start + 4] == [
        "kernel_log up 70 60 0 0 2.1 ms 12 foreign, 1 overruns",
        "journal down 0 0 0 0",
        "files waiting for files 0 0 0 0",
    ]


def test_a_dozen_filters_are_a_dozen_lines() -> None:
    """Each says what it reads, however many files those are, and what it found."""
    one = (
        _FILTER
        | _ODD
        | {"filter": "nginx", "reads": ["/a", "/b", "/c"], "evidence": "proven", "candidates": 9, "failures": 5}
    )
    journal = (
        _FILTER
        | _ODD
        | {
            "detector": "sshd",
            "filter": "sshd",
            "reads": ["journal"],
            "evidence": "shuns only: x",
            "ignored": 2,
            "timeouts": 1,
        }
    )
    down = _FILTER | _ODD | {"detector": "mine", "filter": "", "state": "down", "reads": [], "trouble": "no such file"}
    lines = shown(filters=[*(one | {"detector": f"web{number}"} for number in range(10)), journal, down])
    start = lines.index("FILTER OF FILTER STATE READS CANDIDATES FAILURES EVIDENCE ALSO")
    assert lines[start + 1] == "web0 nginx up /a and 2 more 9 5 proven"
    assert lines[start + 11 : start + 14] == [
        "sshd sshd up journal 0 0 shuns only: x 2 ignored, 1 timeouts",
        "mine down 0 0",
        "",
    ]


@pytest.mark.parametrize(("count", "last"), [(10, "note: 9"), (12, "2 more notes: see `nodewarden status --json`")])
def test_notes_stand_at_the_end_and_do_not_flood(count: int, last: str) -> None:
    """At most ten are printed."""
    lines = shown(notices=[str(number) for number in range(count)])
    assert sum(line.startswith("note: ") for line in lines) == 10
    assert lines[-1] == last


def test_without_filters_there_is_no_table_of_them() -> None:
    """Nobody who reads no logs sees an empty table."""
    assert not any(line.startswith("FILTER") for line in shown())


@pytest.mark.parametrize(
    ("problems", "code", "said"), [([], 0, "all is well"), (["a", "b"], 1, "PROBLEM: a\nPROBLEM: b")]
)
def test_a_check_says_just_what_is_wrong(problems: list[str], code: int, said: str) -> None:
    """For probes and monitoring: exit code 1 while there are problems, and no line more than they need."""
    done = CliRunner().invoke(status, ["--check"], obj=Answer(problems=problems), catch_exceptions=False)
    assert (done.exit_code, done.output) == (code, f"{said}\n")
    assert CliRunner().invoke(status, ["--check", "--json"], obj=Answer(problems=problems)).exit_code == code
    assert CliRunner().invoke(status, obj=Answer(problems=problems)).exit_code == 0


_DETECTOR = {
    "maxretry": 5,
    "findtime_s": 60,
    "bantime_s": 60,
    "alerts": 0,
    "window_entries": 0,
    "evicted_keys": 0,
    "from": "default",
}


def detectors(**modes: str) -> list[dict[str, Any]]:
    """Return detectors of these modes."""
    return [_DETECTOR | {"name": name, "mode": mode, "from": "defaults"} for name, mode in modes.items()]


def test_the_first_line_is_the_mode(tmp_path: Path) -> None:
    """Observing only: since when, how much would be banned, and the command that lets it enforce."""
    (tmp_path / "conf.d").mkdir()
    configuration = tmp_path / "nodewarden.yaml"
    more: dict[str, Any] = {
        "configuration": str(configuration),
        "mode": {"since_s": time.mktime((2026, 11, 27, 10, 5, 0, 0, 0, -1)), "observed": 3},
    }
    observing = detectors(port_scan="observe", sshd="observe")
    line = "observing only since 2026-11-27 10:05: 3 would be banned; to enforce: "
    by_hand = (
        "remove `mode: observe` where `nodewarden config show` finds it, "
        "then nodewarden config check && nodewarden reload"
    )
    assert shown(detectors=observing, **more)[0] == f"{line}{by_hand}; all is well"
    some = {"ban": 1, "shun": 1, "egress": 0, "observed": 3}
    kept = f"{line.removesuffix('; to enforce: ')}, 2 in force from before or by hand; to enforce: "
    assert shown(detectors=observing, bans=some, **more)[0].startswith(kept)
    (tmp_path / "conf.d/10-observe.yaml").touch()
    removal = f"rm {tmp_path}/conf.d/10-observe.yaml && nodewarden config check && nodewarden reload"
    lines = shown(detectors=observing, problems=["a", "b"], **more)
    assert lines[:3] == [f"{line}{removal}; 2 problems", "PROBLEM: a", "PROBLEM: b"]


def test_the_first_line_names_the_switch(tmp_path: Path) -> None:
    """Where the switch for all detectors is, and what to do where its file is not to be deleted."""
    observing = detectors(port_scan="observe")
    own = tmp_path / "conf.d/50-local.yaml"
    shipped = tmp_path / "conf.d/10-observe.yaml"
    shipped.parent.mkdir()
    apply = "then nodewarden config check && nodewarden reload"
    for place, expected in (
        (own, f"change `mode` in {own}:3, {apply}"),
        (shipped, f"set `mode: enforce` at the top level (observe in {shipped}:3), {apply}"),
    ):
        mode = {"since_s": 0.0, "observed": 0, "set_at": f"{place}:3"}
        first = shown(detectors=observing, mode=mode, configuration=str(tmp_path / "nodewarden.yaml"))[0]
        assert first.partition("to enforce: ")[2] == f"{expected}; all is well"


def test_the_first_line_of_one_that_enforces() -> None:
    """Which detectors do, how many do not, and what is in force; never more names than fit."""
    bans = {"ban": 1, "shun": 2, "egress": 0, "observed": 5}
    lines = shown(detectors=detectors(port_scan="enforce", sshd="enforce", syn_rate="observe"), bans=bans)
    assert lines[0] == "enforcing: port_scan, sshd; 1 only observe; 3 in force; all is well"
    many = detectors(**{f"jail{number}": "enforce" for number in range(30)})
    assert shown(detectors=many, problems=["a"])[0] == (
        "enforcing: jail0, jail1, jail2, jail3, jail4, jail5 and 24 more; 0 in force; 1 problem"
    )
    assert "no detector is on" in shown()[0]


def test_a_shadow_stands_below_its_detector() -> None:
    """Its thresholds, and whom it finds compared with the real ones."""
    shadow = {"maxretry": 3, "findtime_s": 1800.0, "alerts": 9, "sources": {"both": 4, "shadow": 5, "real": 1}}
    detector = {"name": "sshd", "mode": "enforce", "maxretry": 5, "findtime_s": 600.0, "bantime_s": 60.0, "alerts": 5}
    lines = shown(detectors=[detector | {"window_entries": 1, "evicted_keys": 0, "shadow": shadow}])
    assert "shadow counts 3 within 30m 9 5 sources more, 1 fewer, 4 the same" in lines
