"""One filter at work: expressions, prefixes, ignored lines, identities and dates."""

import datetime
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.expressions import Expressions
from monitor.filters.log_filter import Found, Ignored, Lack, LogFilter, Missed, Outcome

_UTC = datetime.UTC
_NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=_UTC).timestamp()
_DATE = "Nov 23 17:33:50 "
_DATE_S = _NOW_S - 10
_ALTERNATIVES = "^<F-USER>a?</F-USER><F-ALT_USER>b?</F-ALT_USER><F-ALT_USER_1>c</F-ALT_USER_1> <ADDR>$"


def _filter(
    *failregex: str, ignore: tuple[str, ...] = (), prefix: str = "", date: str = "", lines: int = 1
) -> LogFilter:
    definition = FilterDefinition(
        name="f", failregex=failregex, ignoreregex=ignore, prefregex=prefix, datepattern=date, maxlines=lines
    )
    return LogFilter(definition, _UTC)


def _examine(log_filter: LogFilter, *lines: str, time_s: float | None = None) -> list[Outcome]:
    return [log_filter.examine(f"{line}\n", log_filter.everything, _NOW_S, time_s) for line in lines]


def test_the_first_that_matches() -> None:
    """The first failregex that matches says whose failure it is, and which it was."""
    log_filter = _filter("^a <ADDR>", "<ADDR> z$", "<ADDR>")
    found = _examine(log_filter, "a 192.0.2.1 192.0.2.2 z", "b 192.0.2.1 192.0.2.2 z", "b 192.0.2.1 c", "b c")
    assert [(outcome.expression, outcome.host) for outcome in found if isinstance(outcome, Found)] == [
        (0, "192.0.2.1"),
        (1, "192.0.2.2"),
        (2, "192.0.2.1"),
    ]
    assert found[3] == Missed()


def test_only_candidates_are_tried() -> None:
    """Expressions that cannot match, as the scanner says, are not tried; those that can are, in their order."""
    log_filter = _filter(r"^\s*a <ADDR>", "<ADDR>", "<ADDR> z$")
    for candidates, expected in [((0, 1, 2), 0), ((1, 2), 1), ((2,), 2)]:
        for line, time_s in ((_DATE + "a 192.0.2.1 z\n", None), ("a 192.0.2.1 z\n", _DATE_S)):
            for _ in range(2):
                outcome = log_filter.examine(line, candidates, _NOW_S, time_s)
                assert outcome == Found(expected, "192.0.2.1", False, "", None, _DATE_S)


@pytest.mark.parametrize(
    ("expression", "line", "host", "is_name", "user", "cidr"),
    [
        ("^<HOST>$", "192.0.2.1", "192.0.2.1", False, "", None),
        ("^<HOST>$", "h.example", "h.example", True, "", None),
        ("^<F-ID>.*</F-ID>$", "a b", "a b", False, "", None),
        ("^<F-ID>.*</F-ID> <ADDR>$", "a b 192.0.2.1", "192.0.2.1", False, "", None),
        ("^<SUBNET> <F-USER>.*</F-USER>$", "192.0.2.0/24 a b", "192.0.2.0", False, "a b", "24"),
        (_ALTERNATIVES, "abc ::1", "::1", False, "a", None),
        (_ALTERNATIVES, "bc ::1", "::1", False, "b", None),
        (_ALTERNATIVES, "c ::1", "::1", False, "c", None),
    ],
)  # fmt: skip
def test_whose_failure(expression: str, line: str, host: str, is_name: bool, user: str, cidr: str | None) -> None:
    """An address counts before a name and an identity; `alt_` groups fill in for empty ones in their order."""
    assert _examine(_filter(expression), line) == [Found(0, host, is_name, user, cidr, None)]


def test_a_prefix() -> None:
    """Failregex see the content of the prefix alone, whose own groups count unless they have the same."""
    prefix = r"^app <F-USER>\w+</F-USER>(?: <ADDR>)?: <F-CONTENT>.+</F-CONTENT>$"
    log_filter = _filter("^bad$", "^worse <F-USER>.*</F-USER>$", prefix=prefix)
    found = _examine(
        log_filter, "app u ::1: bad", "app u ::1: worse v", "app u ::1: app u ::1: bad", "bad", "app u: bad"
    )
    assert found[:2] == [Found(0, "::1", False, "u", None, None), Found(1, "::1", False, "v", None, None)]
    assert found[2:] == [Missed(), Missed(), Missed(0, Lack.SOURCE)]


def test_an_empty_group_keeps_the_address_of_the_prefix() -> None:
    """A group of the failregex that took no part in the match leaves what the prefix found; one that did wins."""
    prefix = r"^app\((?:<F-USER>\w+</F-USER>,)?<ADDR>\): <F-CONTENT>.+</F-CONTENT>$"
    log_filter = _filter(r"^bad(?: <F-USER>\w+</F-USER>)?(?: from <ADDR>)?$", prefix=prefix)
    assert _examine(log_filter, "app(u,::1): bad", "app(u,::1): bad v from ::2") == [
        Found(0, "::1", False, "u", None, None),
        Found(0, "::2", False, "v", None, None),
    ]


@pytest.mark.parametrize(
    ("expression", "line", "host"),
    [
        (r"^a <ADDR>\.\d+ z", "a 192.0.2.1.4711 z", "192.0.2.1"),
        (r"^a <ADDR>\.\d+ z", "a 2001:db8::1.4711 z", "2001:db8::1"),
        (r"^a <HOST>(?:\.\d+)?.* z", "a 192.0.2.1.4711 z", "192.0.2.1"),
        (r"^a <ADDR>[.:]\d+ z", "a 192.0.2.1.4711 z", "192.0.2.1"),
        (r"^a (?:<ADDR>)(?:\.\d+|/\d+): z", "a 192.0.2.1.4711: z", "192.0.2.1"),
        (r"^a <ADDR>_\w+ z", "a 192.0.2.1_x z", "192.0.2.1"),
        (r"^a ip_<ADDR> z", "a ip_192.0.2.1 z", "192.0.2.1"),
        (r"^a (?:ip|IP)<ADDR> z", "a IP192.0.2.1 z", "192.0.2.1"),
        (r"^a <ADDR>(?:\.\d+)?.* z", "a 192.0.2.1.4711.example.org z", ""),
        (r"^a <ADDR>(?:\.\d+)?.* z", "a 192.0.2.1.example.org z", ""),
        (r"^a <ADDR>(?:p\d+)?.* z", "a 192.0.2.1pool.example.org z", ""),
        (r"^a <ADDR>[\w.]* z", "a 192.0.2.1.example.org z", ""),
        (r"^a .*<ADDR>\S* z", "a x9.192.0.2.1.4711 z", ""),
        (r"^a <ADDR>.* z", "a 192.0.2.1.4711 z", ""),
    ],
)
def test_an_address_inside_a_word(expression: str, line: str, host: str) -> None:
    """Only where the expression itself names the character next to it, an address may be joined to other text."""
    expected: Outcome = Found(0, host, False, "", None, None) if host else Missed(0, Lack.SOURCE)
    assert _examine(_filter(expression), line) == [expected]
    as_prefix = _filter("^bad$", prefix=f"{expression}<F-CONTENT>.+</F-CONTENT>$")
    assert _examine(as_prefix, f"{line}bad") == [expected]


def test_what_a_failure_lacks() -> None:
    """Only an expression with NOFAIL helps to understand other lines; others lack an address, or still wait for it."""
    log_filter = _filter(
        "^a <F-NOFAIL>good</F-NOFAIL> <ADDR>$", "^b <F-MLFID>\\w+</F-MLFID> bad$", "^c(?: <ADDR>)? bad$"
    )
    assert _examine(log_filter, "a good ::1", "b x bad", "c bad") == [
        Missed(0, Lack.FAILURE),
        Missed(1, Lack.SOURCE_SO_FAR),
        Missed(2, Lack.SOURCE),
    ]


def test_ignored() -> None:
    """A line that an ignoreregex matches is no failure; which failregex did is told where it was asked first."""
    few = _filter("^bad <ADDR>", ignore=("good$",))
    assert _examine(few, "bad ::1", "bad ::1 good", "x good") == [
        Found(0, "::1", False, "", None, None),
        Ignored(0),
        Missed(),
    ]
    many = _filter("^bad <ADDR>", "^b <ADDR>", "^c <ADDR>", "^d <ADDR>", ignore=("good$",))
    assert _examine(many, "bad ::1", "d ::1 good", "x good") == [
        Found(0, "::1", False, "", None, None),
        Ignored(None),
        Ignored(None),
    ]


def test_where_ignoreregex_look() -> None:
    """With many failregex, ignoreregex are held against the whole line, else against the prefix's content."""
    prefix = "^app: <F-CONTENT>.+</F-CONTENT>$"
    assert _examine(_filter("<ADDR>", ignore=("^app",), prefix=prefix), "app: ::1") == [
        Found(0, "::1", False, "", None, None)
    ]
    assert _examine(_filter(*["<ADDR>"] * 4, ignore=("^app",), prefix=prefix), "app: ::1") == [Ignored(None)]


def test_the_date_is_cut_out() -> None:
    """Expressions see a line without its date, wherever it stands."""
    assert _examine(_filter("^x: \\[\\] bad <ADDR>$"), "x: [23/Nov/2026:17:33:50 +0000] bad ::1") == [
        Found(0, "::1", False, "", None, _DATE_S)
    ]
    assert _examine(_filter("^ ?bad <ADDR>$"), _DATE + "bad ::1")[0] == Found(0, "::1", False, "", None, _DATE_S)


def test_a_line_without_a_date() -> None:
    """Where expressions span lines, one without a date happened when the last dated one did, if within a minute."""
    lines = "bad ::1", _DATE + "x", "bad ::2", "Nov 23 17:32:59 x", "bad ::3"
    found = _examine(_filter("^bad <ADDR>$", lines=2), *lines)
    assert [outcome.time_s for outcome in found if isinstance(outcome, Found)] == [None, _DATE_S, None]
    found = _examine(_filter("^bad <ADDR>$"), *lines)
    assert [outcome.time_s for outcome in found if isinstance(outcome, Found)] == [None, None, None]


def test_a_known_time() -> None:
    """Where the source knows the time of a line, nothing is cut out of it."""
    log_filter = _filter(r"^Nov 23 17:33:50 bad <ADDR>$")
    assert _examine(log_filter, _DATE + "bad ::1", time_s=5.0) == [Found(0, "::1", False, "", None, 5.0)]
    assert _examine(log_filter, _DATE + "bad ::1") == [Missed()]


def test_several_lines() -> None:
    """An expression may span lines; lines of a match are used up, skipped ones are not."""
    log_filter = _filter("^begin<SKIPLINES>end <ADDR>$", "^other <ADDR>$", lines=4)
    found = _examine(log_filter, "begin", "x", "end ::1", "end ::2", "begin", "end ::3")
    assert [outcome.host if isinstance(outcome, Found) else "" for outcome in found] == ["", "", "::1", "", "", "::3"]
    assert _examine(log_filter, "begin", "1", "2", "3", "end ::4") == [Missed()] * 5


def test_several_lines_ignored() -> None:
    """An ignoreregex is held against the lines that a match used."""
    log_filter = _filter("^begin<SKIPLINES>end <ADDR>$", ignore=("^x$", "^end ::1$"), lines=4)
    found = _examine(log_filter, "begin", "x", "end ::2", "begin", "end ::1")
    assert [type(outcome) for outcome in found] == [Missed, Missed, Found, Missed, Ignored]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (FilterDefinition(name="f", failregex=()), "has no failregex"),
        (FilterDefinition(name="f", failregex=("^bad$",)), "no <HOST>, <ADDR> or <F-ID> names the source"),
        (FilterDefinition(name="f", failregex=("<ADDR>", "(<ADDR>")), "not a valid regular expression"),
        (FilterDefinition(name="f", failregex=("<ADDR>",), ignoreregex=("",)), "would match every line"),
        (FilterDefinition(name="f", failregex=("<ADDR>",), prefregex="["), "not a valid regular expression"),
        (FilterDefinition(name="f", failregex=("<ADDR>",), datepattern="%q"), "'%q' is not a date field"),
        (FilterDefinition(name="f", failregex=("<ADDR>",), datepattern="("), "not a valid regular expression"),
    ],
)
@pytest.mark.parametrize(("origin", "place"), [("", "built in"), ("/etc/f.yaml", "/etc/f.yaml")])
def test_a_faulty_filter(definition: FilterDefinition, reason: str, origin: str, place: str) -> None:
    """What is wrong with a filter is said with its name and where it comes from."""
    named = FilterDefinition(
        **{name: getattr(definition, name) for name in definition.__struct_fields__} | {"origin": origin}
    )
    with pytest.raises(FilterError, match=re.escape(f"filter f ({place})")) as caught:
        LogFilter(named)
    assert reason in str(caught.value)


@pytest.mark.parametrize("change", [{"maxlines": 2}, {"datepattern": "{UNB}%Y"}, {"datepattern": "**%Y"}])
def test_what_cannot_be_searched_for(change: dict[str, object]) -> None:
    """Nothing is required of a line where lines are joined or a date can be cut out of a word."""
    for extra, expected in (({}, ["Failed\\x20"]), (change, [""])):
        definition = FilterDefinition(name="f", failregex=("^Failed <ADDR>$",), **extra)  # type: ignore[arg-type]
        assert [fail.fragments for fail in Expressions(definition).fail] == expected


_TEXTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["bad ", "BAD ", "user ", "bad user ", " bad ", "xbad ", "b", ""]),
    st.sampled_from(["", "", "", "root ", "x ", "xx", "b", _DATE, "\x00 "]),
    st.sampled_from(["::1", "192.0.2.1", "[::1]", "h.example", "x", ""]),
    st.sampled_from(["", "", "", " é", " ::2", "9"]),
)
_FAIL = st.sampled_from(
    [
        r"^\s?bad (?:user )?<ADDR>",
        r"^\s*bad <ADDR>$",
        r"\bbad .*<HOST>$",
        r"^\s?(?:bad|user) <F-USER>.*</F-USER> <ADDR>$",
        r"^\s?(?!bad x)bad (?<= )<ADDR>",
        r"(?i)^\s?BAD <ADDR>",
        r"^\s?bad <ADDR>|^user <F-ID>x+</F-ID>",
        r"^\s?(?<!x)bad <HOST>",
        r"^\s?(?P<q>.)ad (?P=q)?<ADDR>",
        r"^\b bad <ADDR>",
        r"^\B bad <ADDR>",
        "^(?<=0) bad <ADDR>",
        r"^(?:\b |\B)bad <ADDR>",
    ]
)
"""What is left of a line begins with the space that followed its date."""


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_FAIL, min_size=1, max_size=3),
    st.sampled_from([(), (), ("::1$", "user"), ("^x",)]),
    st.sampled_from(["", "", r"^\s?app(?:\[\d+\])?: <F-CONTENT>.+</F-CONTENT>$"]),
    st.lists(_TEXTS, min_size=1, max_size=6),
)
def test_one_step_or_several(failregex: list[str], ignore: tuple[str, ...], prefix: str, texts: list[str]) -> None:
    """Date, prefix and failregex as one expression give what they give one after the other."""
    heads = ("app: ", "app[7]: ") if prefix else ("",)
    lines = [date + head + text for text in texts for head in heads for date in (_DATE, _DATE, "", " ")]
    fused, stepwise = (_filter(*failregex, ignore=ignore, prefix=prefix) for _ in range(2))
    stepwise._fusion = None  # what it saves is to be compared with
    for time_s in (None, _DATE_S):
        assert _examine(fused, *lines, time_s=time_s) == _examine(stepwise, *lines, time_s=time_s)
