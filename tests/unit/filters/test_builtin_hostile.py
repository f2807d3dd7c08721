"""The built-in filters against attackers who write into the log."""

import functools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.expressions import Expressions
from monitor.filters.matcher import LogMatcher
from monitor.filters.tags import compile_expression
from monitor.model.addresses import format_address, parse_address
from tests.unit.filters.builtin_support import (
    CASES,
    PLANTED,
    Case,
    Failure,
    definition_of,
    make_matcher,
    references,
    scan,
)

FILLERS = (
    "a", " ", "(", "[", "]", ")", "<", '"', "\\", "'", "{", "}", ",", "1.", ":", "1.1.1.1 ", "2001:db8::", "[1.1.1.1]",
    " from ", " for ", " user ", " from 1.1.1.1 port 1", ",1.1.1.1", '",', '\\"', "rip=", " rhost=1.1.1.1",
    "(auth failed, 1 attempts",
    '"a":{', "a=b ", "/../", "GET /", "(a,1.1.1.1): ", ", client: 1.1.1.1, server: ", "FAIL LOGIN", "name: ",
)  # fmt: skip
_JSON = frozenset(("authelia", "authentik", "gitlab", "grafana", "kube-apiserver", "kubelet", "nextcloud"))
_GROUP_REFERENCE = re.compile(r"\(\?P=|\(\?\(|(?<!\\)(?:\\\\)*\\[1-9]")
_ADDRESS_TEXT = re.compile(r"[0-9A-Fa-f:.]{2,80}")


def _escaped(name: str, text: str) -> str:
    """Write foreign text as the application does that writes this log."""
    if name in _JSON or name.startswith("apache"):
        return text.replace("\\", "\\\\").replace('"', '\\"')
    if name in ("nginx-scan", "nginx-auth", "nginx-bad-request", "wordpress"):
        return text.replace("\\", "\\x5C").replace('"', "\\x22")
    return text


def _planted(name: str, line: str, failure: Failure, user: str) -> Iterator[str]:
    """Yield lines in which the user name holds all kinds of other lines, in the planted address's name."""
    place = re.compile(rf"\b{re.escape(user)}\b")
    head, tail = place.split(line, maxsplit=1)
    fake_tail, fake_line = (text.replace(failure.address, PLANTED) for text in (tail, line))
    for payload in (
        fake_tail, user + fake_tail, fake_line, user + fake_tail + " " + user, fake_tail * 2, fake_tail[:-1],
        user + fake_tail.rstrip("]\"'>)"), fake_tail + fake_line, f"{user} {PLANTED}", f" from {PLANTED} port 22 ssh2",
        f"{user} from {PLANTED} port 22 ssh2 [preauth]",
    ):  # fmt: skip
        yield head + _escaped(name, payload) + tail


_NAMED = [
    (reference, line, failure, failure.user)
    for reference, sample in CASES
    for failure in sample.expected[:1]
    for line in sample.text
    if failure.user and len(sample.text) == 1 and failure.address in line
]


@pytest.mark.parametrize(
    ("reference", "line", "failure", "user"),
    _NAMED,
    ids=[f"{reference}-{line[:50]}" for reference, line, _, _ in _NAMED],
)
def test_user_name_cannot_name_an_address(reference: str, line: str, failure: Failure, user: str) -> None:
    """Whatever a user name holds (the line's own rest, the whole line), nobody else is blamed."""
    matcher = make_matcher(reference)
    for hostile in _planted(reference.partition("[")[0], line, failure, user):
        found = {format_address(event.source) for event in scan(matcher, (hostile,))}
        assert found <= {failure.address}, hostile


def _renamed(line: str, user: str) -> Iterator[str]:
    """Yield the line with another name at each of the places where it has the name."""
    for match in re.finditer(rf"\b{re.escape(user)}\b", line):
        yield line[: match.start()] + "Some.One-9@example.org" + line[match.end() :]


@pytest.mark.parametrize(
    ("reference", "line", "failure", "user"),
    [named for named in _NAMED if named[3] != "system:anonymous"],  # which the server writes, instead of a name
    ids=[f"{reference}-{line[:50]}" for reference, line, _, user in _NAMED if user != "system:anonymous"],
)
def test_a_name_counts_however_it_is_spelt(reference: str, line: str, failure: Failure, user: str) -> None:
    """The name that a client typed need not be the one that the application stores: each may differ from the other."""
    matcher = _without_hyperscan(reference)
    for renamed in _renamed(line, user):
        assert [format_address(event.source) for event in scan(matcher, (renamed,))] == [failure.address], renamed


@pytest.mark.parametrize("reference", references())
def test_no_expression_compares_two_places(reference: str) -> None:
    """No two places of a line must be equal: a client that chooses one of them decides whether its failure counts."""
    definition = definition_of(reference)
    patterns = [fail.pattern for fail in Expressions(definition).fail]
    prefixes = [compile_expression(definition.prefregex)] if definition.prefregex else []
    assert [one.pattern for one in (*patterns, *prefixes) if _GROUP_REFERENCE.search(one.pattern)] == []


@functools.cache
def _without_hyperscan(reference: str) -> LogMatcher:
    return make_matcher(reference, use_hyperscan=False)


@functools.cache
def _shared(reference: str) -> LogMatcher:
    return make_matcher(reference)


@functools.cache
def _addresses_in(text: str) -> frozenset[bytes]:
    """Return all addresses that some part of a text reads as."""
    found = set()
    for run in _ADDRESS_TEXT.findall(text):
        for start in range(len(run)):
            for end in range(start + 2, min(len(run), start + 46) + 1):
                try:
                    found.add(parse_address(run[start:end]))
                except ValueError:
                    continue
    return frozenset(found)


_REMEMBERING = {"sshd"} | {reference.partition("[")[0] for reference, sample in CASES if len(sample.text) > 1}
"""Filters whose lines depend on those before: `_shared` remembers the lines of earlier examples."""
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [PLANTED, "2001:db8::66", f" from {PLANTED} port 22 ssh2", f"[{PLANTED}]", f"rhost={PLANTED}", *FILLERS]
    ),
    st.sampled_from([line for case in CASES for line in case.sample.text]),
)


@settings(max_examples=350, deadline=None)
@given(case=st.sampled_from([case for case in CASES if case.sample.expected]), data=st.data())
def test_mutated_lines(case: Case, data: st.DataObject) -> None:
    """However lines are mangled, nothing is raised and no address is blamed that does not stand in them."""
    text = "\n".join(case.sample.text)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        change = data.draw(st.sampled_from(["delete", "insert", "replace", "double"]))
        piece = {"delete": "", "double": text[start:end] * 2}.get(change) or (
            "" if change == "delete" else data.draw(PIECES)
        )
        text = text[: start if change != "insert" else end] + piece + text[end:]
    text = text.replace("\r", " ")
    lines = tuple(text.encode(errors="replace").decode().split("\n"))
    events = scan(_shared(case.reference), lines)
    slow = scan(make_matcher(case.reference, use_hyperscan=False), lines)
    assert {event.source for event in slow} <= _addresses_in(text)
    if case.reference.partition("[")[0] not in _REMEMBERING:
        assert [event.source for event in events] == [event.source for event in slow]
