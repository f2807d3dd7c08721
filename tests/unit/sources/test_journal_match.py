"""Matches as journalctl(1) has them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.errors import ConfigError
from monitor.sources.journal.match import Entry, Group, Matcher, parse_match

SSH: dict[str, bytes | list[bytes]] = {"_SYSTEMD_UNIT": b"ssh.service", "_COMM": b"sshd", "PRIORITY": b"6"}


@pytest.mark.parametrize(
    ("lines", "entry", "matches"),
    [
        ([["_COMM=sshd"]], SSH, True),
        ([["_COMM=ssh"]], SSH, False),
        ([["_COMM=sshd", "PRIORITY=6"]], SSH, True),
        ([["_COMM=sshd", "PRIORITY=5"]], SSH, False),
        ([["PRIORITY=5", "PRIORITY=6"]], SSH, True),
        ([["PRIORITY=5", "_COMM=sshd", "PRIORITY=6"]], SSH, True),
        ([["_SYSTEMD_UNIT=sshd.service", "+", "_COMM=sshd"]], SSH, True),
        ([["_SYSTEMD_UNIT=sshd.service", "PRIORITY=6", "+", "_COMM=sshd", "PRIORITY=5"]], SSH, False),
        ([["_SYSTEMD_UNIT=sshd.service"], ["_COMM=sshd"]], SSH, True),
        ([["_SYSTEMD_UNIT=sshd.service"], ["_COMM=nginx"]], SSH, False),
        ([["_HOSTNAME=x"]], SSH, False),
        ([["_COMM="]], {"_COMM": b""}, True),
        ([["_COMM="]], SSH, False),
        ([["_CMDLINE=a=b + c"]], {"_CMDLINE": b"a=b + c"}, True),
        ([["SYSLOG_IDENTIFIER=\udcff"]], {"SYSLOG_IDENTIFIER": b"\xff"}, True),
        ([["SYSLOG_IDENTIFIER=b"]], {"SYSLOG_IDENTIFIER": [b"a", b"b"]}, True),
        ([["SYSLOG_IDENTIFIER=c"]], {"SYSLOG_IDENTIFIER": [b"a", b"b"]}, False),
        ([], SSH, True),
        ([], {}, True),
    ],
)
def test_terms_combine_as_in_journalctl(lines: list[list[str]], entry: Entry, matches: bool) -> None:
    """Different fields must all hold, of one field any value, and groups and lines are alternatives."""
    matcher = Matcher({"it": lines, "other": [["_COMM=never"]]})
    assert matcher.detectors(entry) == (("it",) if matches else ())
    assert matcher.detectors(entry) == (("it",) if matches else ()), "the remembered answer differs"


@pytest.mark.parametrize(
    "terms",
    [
        ["sshd"],
        ["=sshd"],
        ["_comm=sshd"],
        ["__CURSOR=x"],
        ["1A=x"],
        ["A B=x"],
        ["A\n=x"],
        ["A" * 65 + "=x"],
        ["/usr/sbin/sshd"],
        ["+"],
        ["+", "A=x"],
        ["A=x", "+"],
        ["A=x", "+", "+", "B=x"],
        [],
    ],
)
def test_faulty_terms_name_the_detector(terms: list[str]) -> None:
    """What journalctl would refuse is a configuration error that says where."""
    with pytest.raises(ConfigError, match="detector web: journal match"):
        Matcher({"web": [terms]})


def test_the_journal_is_asked_for_each_group_once() -> None:
    """Equal groups of several detectors are one match; one detector that reads everything makes matches needless."""
    lines = [["_COMM=sshd", "PRIORITY=6"]]
    both = Matcher({"a": lines, "b": [["PRIORITY=6", "_COMM=sshd", "+", "_COMM=x"]]})
    assert sorted(both.groups) == [*parse_match(["_COMM=sshd", "PRIORITY=6"]), *parse_match(["_COMM=x"])]
    assert Matcher({"a": lines, "all": []}).groups == ()


def test_what_an_entry_holds_does_not_grow_the_memory() -> None:
    """Ten thousand entries that match nothing, each with a name of its own, are remembered as one."""
    matcher = Matcher({"a": [["SYSLOG_IDENTIFIER=sshd"]]})
    for number in range(10_000):
        assert matcher.detectors({"SYSLOG_IDENTIFIER": b"x%d" % number}) == ()
    assert len(matcher._known) == 1


_fields = st.sampled_from(["A", "B", "_C"])
_values = st.sampled_from(["", "1", "2", "+", "x=y"])
_groups = st.lists(st.lists(st.tuples(_fields, _values), min_size=1, max_size=4), min_size=1, max_size=3)
_bytes = _values.map(str.encode)
_entries = st.dictionaries(_fields, st.one_of(_bytes, st.lists(_bytes, min_size=2, max_size=3)))


def _plainly(groups: list[list[tuple[str, str]]], entry: Mapping[str, bytes | list[bytes]]) -> bool:
    """Whether one of the groups holds, worked out the slow way."""

    def has(field: str, value: str) -> bool:
        held = entry.get(field, [])
        return value.encode() in (held if isinstance(held, list) else [held])

    return any(
        all(any(has(field, value) for other, value in group if other == field) for field, _ in group)
        for group in groups
    )


@given(wanted=st.lists(_groups, min_size=1, max_size=3), entries=st.lists(_entries, max_size=8))
def test_any_match_holds_as_worked_out_plainly(
    wanted: list[list[list[tuple[str, str]]]], entries: list[dict[str, bytes | list[bytes]]]
) -> None:
    """Whatever the terms and entries, the remembering matcher says what a plain evaluation says."""
    matches = {}
    for number, groups in enumerate(wanted):
        terms: list[str] = []
        for group in groups:
            terms += [*(["+"] if terms else []), *(f"{field}={value}" for field, value in group)]
        matches[f"d{number}"] = [terms]
    matcher = Matcher(matches)
    for entry in entries:
        expected = tuple(f"d{number}" for number, groups in enumerate(wanted) if _plainly(groups, entry))
        assert matcher.detectors(entry) == expected


@given(st.lists(st.text()))
def test_any_terms_are_parsed_or_refused(terms: list[str]) -> None:
    """No text makes the parser fail in another way than by a configuration error."""
    try:
        groups: tuple[Group, ...] = parse_match(terms)
    except ConfigError:
        return
    assert groups
    assert all(groups)
