"""Lines of one connection put together, as fail2ban's MLFID and its flags say."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.connections import Connections
from monitor.filters.definition import FilterDefinition
from monitor.filters.groups import Values
from monitor.filters.log_filter import Found, LogFilter, Missed

_MAX_CONNECTIONS = 4096
_MAX_AGE_S = 300.0
_NOW_S = 1_700_000_000.0
_FLAGS = ("nofail", "mlfforget", "mlfgained")


class _Line(NamedTuple):
    """A line of a connection, and after how many seconds it came."""

    identity: str
    after_s: float
    flags: frozenset[str]
    user: str | None
    ip4: str | None

    def values(self) -> Values:
        """Return what an expression with all groups would say of it."""
        values: Values = {"user": self.user, "ip4": self.ip4, "fid": None}
        return values | {flag: "x" if flag in self.flags else None for flag in _FLAGS}


_LINES = st.builds(
    _Line,
    st.sampled_from("abc"),
    st.sampled_from([0.0, 1.0, 150.0, 300.0, 301.0]),
    st.frozensets(st.sampled_from(_FLAGS)),
    st.sampled_from([None, "", "root", "admin"]),
    st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
)


class _Story:
    """What happened on one connection: all its lines, which is more than the filter remembers."""

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.seen_s = 0.0
        self.waits = False

    def tell(self, line: _Line, now_s: float) -> Values | None:
        """Add a line; return what is known if it is a failure."""
        self.lines.append(line)
        self.seen_s = now_s
        helps = bool(line.flags & {"nofail", "mlfgained"})
        settles = "mlfgained" in line.flags
        users = {each.user for each in self.lines if each.user}
        is_failure = not helps or (self.waits and not settles) or len(users) > 1
        known: Values = {}
        for each in self.lines:
            known |= {name: value for name, value in (("user", each.user), ("ip4", each.ip4)) if value is not None}
        self.waits = is_failure and "ip4" not in known
        return known if is_failure else None


@settings(max_examples=400, deadline=None)
@given(st.lists(_LINES, max_size=14))
def test_any_lines(lines: list[_Line]) -> None:
    """Whatever the lines, just those are failures that a full account of each connection makes failures."""
    connections, stories, now_s = Connections(), dict[str, _Story](), _NOW_S
    for line in lines:
        now_s += line.after_s
        story = stories.get(line.identity)
        if story is None or now_s - story.seen_s > _MAX_AGE_S:
            story = stories[line.identity] = _Story()
        expected = story.tell(line, now_s)
        if "mlfforget" in line.flags:
            del stories[line.identity]
        found = connections.merge(line.identity, line.values(), now_s)
        assert found == expected
        if found is not None and not found.get("ip4"):
            connections.wait(line.identity)


def test_too_many() -> None:
    """At most 4,096 connections are remembered; the one that was silent longest goes first, and that is counted."""
    connections = Connections()
    for number in range(_MAX_CONNECTIONS):
        connections.merge(str(number), {"user": f"u{number}"}, _NOW_S)
    assert (len(connections), connections.evicted) == (_MAX_CONNECTIONS, 0)
    connections.merge("0", {}, _NOW_S)
    connections.merge("new", {}, _NOW_S)
    assert (len(connections), connections.evicted) == (_MAX_CONNECTIONS, 1)
    assert connections.merge("0", {}, _NOW_S) == {"user": "u0"}
    assert connections.merge("1", {}, _NOW_S) == {}
    assert connections.evicted == 2


def test_what_ends_at_once_is_not_kept() -> None:
    """A connection whose only line ends it costs no memory, however many there are."""
    connections = Connections()
    for number in range(_MAX_CONNECTIONS + 5):
        assert connections.merge(str(number), {"ip4": "192.0.2.1", "mlfforget": "x"}, _NOW_S) == {"ip4": "192.0.2.1"}
    assert (len(connections), connections.evicted) == (0, 0)


@pytest.mark.parametrize(("shift_s", "is_known"), [(300.0, True), (300.5, False), (-300.0, True), (-300.5, False)])
def test_five_minutes(shift_s: float, is_known: bool) -> None:
    """After five minutes of silence the number belongs to another; so it does if the clock went back that far."""
    connections = Connections()
    connections.merge("1", {"ip4": "192.0.2.1"}, _NOW_S)
    expected = {"ip4": "192.0.2.1", "user": "u"} if is_known else {"user": "u"}
    assert connections.merge("1", {"user": "u"}, _NOW_S + shift_s) == expected
    assert len(connections) == 1


def test_waiting_for_nobody() -> None:
    """A failure on a connection that is not remembered (it ended) waits for nothing."""
    connections = Connections()
    connections.wait("1")
    assert len(connections) == 0
    assert connections.merge("1", {"nofail": "x"}, _NOW_S) is None


_SERVER = FilterDefinition(
    name="server",
    prefregex=r"^\s*srv<F-MLFID>\[\d+\]</F-MLFID>: <F-CONTENT>.+</F-CONTENT>$",
    failregex=(
        "^<F-NOFAIL>hello</F-NOFAIL> from <ADDR>$",
        "^bad password of <F-USER>.*</F-USER>$",
        "^<F-NOFAIL>tried</F-NOFAIL> <F-USER>.*</F-USER>$",
        "^<F-MLFFORGET><F-MLFGAINED>welcome</F-MLFGAINED></F-MLFFORGET>$",
        "^<F-MLFGAINED>level</F-MLFGAINED> two$",
        "^<F-NOFAIL><F-MLFFORGET>bye</F-MLFFORGET></F-NOFAIL>$",
        "^kicked <ADDR>$",
    ),
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("1 hello from 192.0.2.1|1 bad password of root", ["-", "192.0.2.1 root"]),
        ("1 bad password of root|1 hello from 192.0.2.1", ["-", "192.0.2.1 root"]),
        ("1 bad password of root|1 bye|1 hello from 192.0.2.1", ["-", "-", "-"]),
        ("1 hello from 192.0.2.1|1 bad password of a|1 bad password of a", ["-", "192.0.2.1 a", "192.0.2.1 a"]),
        ("1 hello from 192.0.2.1|2 bad password of a|1 bad password of b", ["-", "-", "192.0.2.1 b"]),
        ("1 hello from 192.0.2.1|1 welcome|1 bad password of a", ["-", "-", "-"]),
        ("1 bad password of a|1 welcome|1 hello from 192.0.2.1", ["-", "-", "-"]),
        ("1 bad password of a|1 level two|1 hello from 192.0.2.1", ["-", "-", "-"]),
        ("1 bad password of a|1 bad password of b|1 level two|1 hello from 192.0.2.1", ["-", "-", "-", "192.0.2.1 b"]),
        ("1 hello from 192.0.2.1|1 tried a|1 tried a", ["-", "-", "-"]),
        ("1 hello from 192.0.2.1|1 tried a|1 tried b|1 welcome", ["-", "-", "192.0.2.1 b", "192.0.2.1 b"]),
        ("1 hello from 192.0.2.1|1 kicked 192.0.2.2|1 bad password of a", ["-", "192.0.2.2 ", "192.0.2.2 a"]),
        ("1 hello from 192.0.2.1|1 bye|1 bad password of a", ["-", "-", "-"]),
    ],
)
def test_a_server(lines: str, expected: list[str]) -> None:
    """Addresses, users and failures of one process are joined, and never with those of another or an earlier one."""
    log_filter = LogFilter(_SERVER)
    found = []
    for line in lines.split("|"):
        identity, _, text = line.partition(" ")
        outcome = log_filter.examine(f"srv[{identity}]: {text}\n", log_filter.everything, _NOW_S, _NOW_S)
        assert isinstance(outcome, (Found, Missed))
        assert outcome.expression is not None
        found.append(f"{outcome.host} {outcome.user}" if isinstance(outcome, Found) else "-")
    assert found == expected


def test_what_a_filter_forgot_is_in_its_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more connections at once than are remembered the first are forgotten; the filter counts them."""
    monkeypatch.setattr("monitor.filters.connections._MAX_CONNECTIONS", 10)
    log_filter = LogFilter(_SERVER)
    for number in range(13):
        line = f"srv[{number}]: hello from 192.0.2.1\n"
        assert isinstance(log_filter.examine(line, log_filter.everything, _NOW_S, _NOW_S), Missed)
    assert log_filter.stats.evicted == 3
