"""The native extension in the filters: the same as the Python code, line for line."""

import datetime
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.log_differences import DifferenceError, compare
from bench.log_mutations import filters
from monitor.filters import confirmation
from monitor.filters.connections import Connections
from monitor.filters.definition import FilterDefinition
from monitor.filters.library import load_filter
from monitor.filters.log_filter import LogFilter
from monitor.filters.matcher import LogMatcher
from monitor.filters.scanner import BlockScanner, is_available
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from tests.support.native import extension

_NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=datetime.UTC).timestamp()
_FILTER = FilterDefinition(
    name="f",
    failregex=(
        r"^\s*\S+ app: bad <F-USER>\S*</F-USER> from <ADDR>",
        r"^\s*\S+ app: <ADDR>:\d+ failed",
        r"^\s*\S+ app: <ADDR>\.\d+ closed$",
        r"^\s*\S+ app: net <SUBNET>$",
        r"^\s*\S+ app: own <ADDR>/(?P<cidr>[^\n]*)$",
    ),
)
_LINES = 60
_EIGHTH = 8


def _matcher(definition: FilterDefinition, *, is_native: bool) -> LogMatcher:
    return LogMatcher({"d": definition}, timezones={"d": datetime.UTC}, use_native=is_native)


def _block(*lines: str, **others: object) -> LogBlock:
    data = "".join(f"Nov 23 17:33:50 {line}\n" for line in lines).encode()
    return LogBlock("/log", ("d",), data, _NOW_S, **others)  # type: ignore[arg-type]


def test_hostile_blocks_of_many_filters() -> None:
    """Failures, counters, doubts, connections and dates are equal on mutated lines in blocks of every kind."""
    extension()
    failures = 0
    for number, (definition, lines) in enumerate(filters()[::_EIGHTH]):
        failures += compare(definition, lines, _LINES, number)
    assert failures


def test_a_line_that_only_one_of_them_counts_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison fails where the counter of examined lines alone differs."""
    extension()
    add = confirmation._add

    def count_one_more(log_filter: LogFilter, counts: list[int], reason: str) -> None:
        add(log_filter, [counts[0] + 1, *counts[1:]], reason)

    monkeypatch.setattr(confirmation, "_add", count_one_more)
    definition, lines = next(each for each in filters() if each[0].name == "sshd")
    with pytest.raises(DifferenceError, match="'candidates'"):
        compare(definition, lines, 400, 1)


def test_what_surrounds_an_address() -> None:
    """An address that is only a part of a longer word is none, whatever stands around it."""
    extension()
    characters = ("", " ", ".", "_", ":", "-", "a", "7", "/", "[", "]", ",", "\t")
    lines = [
        f"h app: {text}"
        for before, after, last in itertools.product(characters, characters, ("", " ", ".", "5", "b", ":"))
        for address in ("192.0.2.1", "2001:db8::1")
        for text in (
            f"bad u from {before}{address}{after}{last}",
            f"{before}{address}{after}{last} failed",
            f"{address}{after}{last}12 closed",
        )
    ]
    one, other = (_matcher(_FILTER, is_native=is_native) for is_native in (True, False))
    found, expected = one.scan(_block(*lines)), other.scan(_block(*lines))
    assert found == expected
    assert len(lines) > len(expected) > 0
    assert one.stats == other.stats


def test_prefix_lengths_users_and_long_lines() -> None:
    """Networks, users of more than 64 characters and lines of more than 400 are cut as in Python."""
    extension()
    lines = [f"h app: net 192.0.2.0/{length}" for length in ("0", "24", "32", "33", "129", "1000", "08", "x")]
    lines += [f"h app: net 2001:db8::/{length}" for length in ("32", "128", "129")]
    lines += [
        f"h app: own 192.0.2.1/{length}" for length in ("8", "-5", "+5", "1_0", " 7", "x", "\u00b2", "\u0663", "")
    ]
    lines += [f"h app: bad {'u' * size} from 192.0.2.1{' ' * 350}{'x' * 200}" for size in (0, 63, 64, 65, 300)]
    lines += [f"h app: bad {user} from ::ffff:192.0.2.9 \x1c\x0b" for user in ("root", "ro\u00f6t", "\u0661", "\ufffd")]
    one, other = (_matcher(_FILTER, is_native=is_native) for is_native in (True, False))
    found, expected = one.scan(_block(*lines)), other.scan(_block(*lines))
    assert found == expected
    lengths = {event.prefix_length for event in found}
    assert lengths > {None, 24, 8, 3}
    assert lengths <= {None, *range(129)}


def test_python_examines_only_what_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an expression and a date are known, no Python code sees a line that the expression decides."""
    extension()
    matcher = _matcher(load_filter("sshd"), is_native=True)
    line = "host sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2"
    assert len(matcher.scan(_block(line, line))) == 2
    seen: list[str] = []
    examine = LogFilter.examine

    def note(self: LogFilter, text: str, *others: object) -> object:
        seen.append(text)
        return examine(self, text, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(LogFilter, "examine", note)
    odd = "host sshd[7]: Failed password for r\u00f6t from 192.0.2.1 port 22 ssh2"
    assert len(matcher.scan(_block(*[line] * 50, odd, *[line] * 50))) == 101
    assert [text for text in seen if "\u00f6" not in text] == []
    assert len(seen) == 1


def test_a_scan_pauses_and_loses_nothing() -> None:
    """A scan whose time is up stops soon, and continues with the next line."""
    extension()
    matcher = _matcher(_FILTER, is_native=True)
    lines = [f"h app: bad u from 192.0.2.{number}" for number in range(200)]
    matcher.scan(_block(lines[0]))
    scan = matcher.begin(_block(*lines))
    batches: list[list[AuthFailure]] = [scan.run(0.0)]
    while scan.has_more:
        batches.append(scan.run(0.0))
    assert max(map(len, batches)) < 40
    assert [event.source[-1] for batch in batches for event in batch] == list(range(200))


_VALUES = st.fixed_dictionaries(
    {
        "nofail": st.sampled_from([None, "", "x"]),
        "mlfforget": st.sampled_from([None, None, "x"]),
        "mlfgained": st.sampled_from([None, None, "x"]),
        "user": st.sampled_from([None, "", "root", "r\u00f6t", "admin"]),
        "ip4": st.sampled_from([None, "", "192.0.2.1", "192.0.2.2"]),
        "fid": st.sampled_from([None, "a"]),
    }
)
_STEPS = st.tuples(st.sampled_from("abcd\u00e4"), _VALUES, st.sampled_from([0.0, 1.0, 300.0, 301.0]), st.booleans())


@given(st.lists(_STEPS, max_size=40))
def test_connections_remember_the_same(steps: list[tuple[str, dict[str, str | None], float, bool]]) -> None:
    """Whatever lines say of a few connections, in whatever order, both tables answer the same."""
    one, other, now_s = extension().Connections(), Connections(), _NOW_S
    for identity, values, after_s, waits in steps:
        now_s += after_s
        found, expected = (table.merge(identity, dict(values), now_s) for table in (one, other))
        assert found == expected
        if waits:
            one.wait(identity)
            other.wait(identity)
        assert len(one) == len(other)


def test_connections_are_known_by_all_of_their_identity() -> None:
    """Identities of all lengths, such that differ in single bits or in how often they repeat a part, are different."""
    table = extension().Connections()
    texts = ["ab" * length + last for length in range(40) for last in ("", "a", "\0", "!")]
    texts += ["".join(parts) for parts in itertools.product(("aaaaaaa!aaaaaaa!", "aaaaaaaaaaa!aaaa"), repeat=8)]
    for number, text in enumerate(texts):
        assert table.merge(text, {"fid": str(number)}, _NOW_S) == {"fid": str(number)}
    assert len(table) == len(set(texts)) == len(texts)
    assert [table.merge(text, {}, _NOW_S) for text in texts] == [{"fid": str(number)} for number in range(len(texts))]


def test_the_oldest_connections_are_forgotten() -> None:
    """A full table forgets the connection that was seen least recently, and counts it; a limit is at most 4,096."""
    table = extension().Connections(3)
    for identity in ("a", "b", "c", "a", "d"):
        table.merge(identity, {"nofail": "x", "user": "u"}, _NOW_S)
    assert (len(table), table.evicted) == (3, 1)
    known = {identity: table.merge(identity, {"user": None}, _NOW_S) for identity in ("a", "c", "d", "b")}
    assert known == {"a": {"user": "u"}, "c": {"user": "u"}, "d": {"user": "u"}, "b": {}}
    for limit in (0, -1, 4097):
        with pytest.raises(ValueError, match="limit"):
            extension().Connections(limit)


@pytest.mark.skipif(not is_available(), reason="Hyperscan is not installed")
def test_candidates_are_put_together_as_in_python() -> None:
    """Lines that several expressions may match, first and last lines and empty ones are found alike."""
    extension()
    scanner = BlockScanner(["ab", "b.*c", "ab", "d"])
    choose = random.Random(1)
    for _ in range(50):
        data = b"".join(
            bytes(choose.choices(b"abcd x\xff", k=choose.randrange(6))) + b"\n" for _ in range(choose.randrange(8))
        )
        found = scanner.search(data)
        assert [(start, end, list(numbers or ())) for start, end, numbers in found] == [
            (start, end, list(numbers or ())) for start, end, numbers in scanner.candidates(data)
        ]


def test_wrong_use_is_an_exception() -> None:
    """Lines outside the block, unknown groups and other mistakes of callers raise; none is undefined."""
    native = extension()
    table = native.Connections()
    candidates = native.Candidates([(0,)])
    for number, end in ((1, 1), (-1, 1), (0, 0)):
        with pytest.raises(ValueError, match="no such"):
            candidates.add(number, 0, end, 0, None)
    candidates.add(0, 0, 9, 0, None)
    with pytest.raises(ValueError, match="after the block"):
        candidates.join(b"short\n")
    with pytest.raises(TypeError):
        native.Candidates([[0]])

    def confirmation(given: object) -> object:
        return native.Confirmation(
            b"a\nb\n", given, (), False, AuthFailure, "d", None, "/log", "", 0.0, 0.0, True, 600.0, table, table,
            False, [],
        )  # fmt: skip

    for wrong in ([(0, 5, (0,))], [(2, 2, (0,))], [(-1, 2, (0,))], [(0, 2, (-1,))]):
        with pytest.raises(ValueError, match=r"no line|no such"):
            confirmation(wrong).run([None], None, 0, math.inf)  # type: ignore[attr-defined]
    made = confirmation([(0, 2, (7,)), (2, 4, None)])
    assert made.run([None], None, 0, math.inf)[:2] == (0, False)  # type: ignore[attr-defined]
    assert made.run([None], None, 9, math.inf)[0] == 9  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        made.run((None,), None, 0, math.inf)  # type: ignore[attr-defined]
    with pytest.raises((TypeError, ValueError)):
        native.Form(None, (0,) * 10, (), (), 0, False)
