"""The small notations: references to filters, and durations."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.types import parse_duration as parse_our_duration
from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.durations import format_duration, parse_duration
from monitor.filters.fail2ban.notation import format_filter_reference, parse_filter_reference, split_words


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("sshd", "sshd", {}),
        (" sshd[] ", "sshd", {}),
        ("sshd[mode=aggressive]", "sshd", {"mode": "aggressive"}),
        ('/etc/f/x.conf[a.b-c=1, x="a,b]", y=\'"\']', "/etc/f/x.conf", {"a.b-c": "1", "x": "a,b]", "y": '"'}),
        ("a[x=1][y= two words ,]", "a", {"x": "1", "y": "two words"}),
        ('a[x="one\ntwo",\n  y=]', "a", {"x": "one\ntwo", "y": ""}),
        ('a[x="open]', "a", {"x": '"open'}),
        ('a[x="1", x?family=inet6="2"]', "a", {"x": "1", "x?family=inet6": "2"}),
    ],
)
def test_references_are_split(text: str, name: str, parameters: dict[str, str]) -> None:
    """Names and parameters come apart as in fail2ban: bare, quoted, in several brackets, over several lines."""
    assert parse_filter_reference(text) == (name, parameters)


@pytest.mark.parametrize("text", ["", "[a=1]", "a[b", "a[b]", "a[=1]", 'a[x="1" y=2]', "a[x=1]y", "a[x=1]z]", " "])
def test_broken_references_are_refused(text: str) -> None:
    """What is no reference is a FilterError."""
    with pytest.raises(FilterError):
        parse_filter_reference(text)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_.\-]{0,8}", fullmatch=True), st.text("ab ,]['=\n", max_size=8).map(str.strip)
    )
)
def test_references_survive_being_written(parameters: dict[str, str]) -> None:
    """What is written is read again, whatever the values hold but both kinds of quotes."""
    assert parse_filter_reference(format_filter_reference("f", parameters)) == ("f", parameters)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600),
        ("10m", 600),
        ("1d 12h", 129600),
        ("1d12h", 129600),
        ("1W", 604800),
        ("-1", -1),
        ("1year-6mo", 15778800),
        ("1month", 2629800),
        ("24*60*60", 86400),
        ("2 * (1h + 30min)", 10800),
        ("1.5 hours", 5400),
        ("1h/2", 1800),
        (" 5 4 ", 9),
        (".5y", 15778800),
        ("1_000", 1000),
        ("1_000.5 ss", 1000.5),
        ("1.d", 86400),
        ("2*.5y+1*1mo-3*1/3w+2/2d-(2*12h3*20m80s) ", 33578920),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """fail2ban's units, sums, products and implied sums come out in seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "1x",
        "1/0",
        "(1",
        "1)",
        "1+",
        "2**9",
        "__import__('os')",
        "9" * 400,
        "(" * 90 + "1",
        "1e9",
        "٣",
        "1__0",
        "_1",
        ".",
        "1._0",
        "0x10",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Nothing is evaluated but numbers, units and the four operations."""
    with pytest.raises(FilterError, match="not a duration"):
        parse_duration(text)


@given(st.text("0123456789 dhmsw+-*/()._x", max_size=110))
def test_any_text_is_a_duration_or_a_fault(text: str) -> None:
    """Whatever stands there gives a finite number or a FilterError."""
    with contextlib.suppress(FilterError):
        assert abs(parse_duration(text)) < float("inf")


@given(st.integers(1, 10**9))
def test_durations_are_written_in_our_notation(seconds: int) -> None:
    """What is written is what the project's own configuration reads."""
    assert parse_our_duration(format_duration(seconds)) == seconds


def test_lists_are_split_at_commas_and_space() -> None:
    """Empty words do not count."""
    assert split_words(" a,b ,, c\n d ") == ("a", "b", "c", "d")
