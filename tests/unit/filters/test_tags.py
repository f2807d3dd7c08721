"""fail2ban's tags as groups of `re`."""

import contextlib
import ipaddress
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.definition import FilterError
from monitor.filters.tags import HOST_GROUPS, compile_expression, resolve
from monitor.model.addresses import format_address, parse_address

_TAGS = ("HOST", "ADDR", "IP4", "IP6", "DNS", "CIDR", "SUBNET", "SKIPLINES", "F-ID", "F-PORT", "F-USER", "F-ALT_USER")
_PIECES = (*(f"<{tag}>" for tag in _TAGS), *(f"</{tag}>" for tag in _TAGS), *(f"<{tag}/>" for tag in _TAGS))


def _whose(expression: str, text: str) -> dict[str, str]:
    """Return the groups that say whose failure it is, where the expression matches all of the text."""
    match = compile_expression(f"^{expression}$").search(text)
    return {name: value for name, value in match.groupdict().items() if value} if match else {}


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "[{}]", "::ffff:{}", "[::ffff:{}]"]))
def test_every_ipv4_address(address: ipaddress.IPv4Address, form: str) -> None:
    """Each IPv4 address is one to all tags that take one, bare, in brackets and mapped into IPv6."""
    for tag in ("<HOST>", "<ADDR>", "<SUBNET>", "<F-ADDR/>", "<F-SUBNET/>"):
        assert _whose(tag, form.format(address)) == {"ip4": str(address)}
    assert _whose("<IP6>", str(address)) == {}


@given(st.ip_addresses(v=6).filter(int), st.booleans(), st.booleans())
def test_every_ipv6_address(address: ipaddress.IPv6Address, is_long: bool, is_upper: bool) -> None:
    """Each IPv6 address but `::` is one to all tags that take one, however it is written in hexadecimal."""
    words = [int.from_bytes(address.packed[at : at + 2]) for at in range(0, 16, 2)]
    # since Python 3.13 ipaddress writes the end of a mapped address as IPv4
    short = ":".join(f"{word:x}" for word in words) if address.ipv4_mapped else str(address)
    text = ":".join(f"{word:04x}" for word in words) if is_long else short
    text = text.upper() if is_upper else text
    for tag in ("<HOST>", "<ADDR>", "<SUBNET>", "<IP6>", r"\[<IP6>\]", "<F-IP6/>"):
        form = f"[{text}]" if "\\" in tag else text
        found = _whose(tag, form)
        assert set(found) == {"ip6"}
        assert parse_address(found["ip6"]) == parse_address(str(address))


@given(st.text("0123456789abcdefABCDEF:.[]/%gx-", max_size=45))
def test_what_an_address_tag_takes(text: str) -> None:
    """What is taken for an address holds nothing but what addresses are made of, and lies within the text."""
    found = _whose(".*?<ADDR>.*", text)
    assert set(found) <= {"ip4", "ip6"}
    for value in found.values():
        assert re.fullmatch(r"[0-9a-fA-F:.]+", value)
        assert value in text
        with contextlib.suppress(ValueError):
            assert format_address(parse_address(value))


@pytest.mark.parametrize(
    ("expression", "text", "groups"),
    [
        ("<HOST>", "host-1.example.org", {"dns": "host-1.example.org"}),
        ("<HOST>", "h", {"dns": "h"}),
        ("<HOST>", "host.", {}),
        ("<ADDR>", "host.example.org", {}),
        ("<DNS>", "192.0.2.1", {"dns": "192.0.2.1"}),
        ("<SUBNET>", "192.0.2.0/24", {"ip4": "192.0.2.0", "cidr": "24"}),
        ("<SUBNET>", "[2001:db8::]/32", {}),
        ("<SUBNET>", "2001:db8::/32", {"ip6": "2001:db8::", "cidr": "32"}),
        ("<IP4>/<CIDR>", "192.0.2.0/24", {"ip4": "192.0.2.0", "cidr": "24"}),
        ("<F-ID/> x", "a;b x", {"fid": "a;b"}),
        (r"<F-ID>\w+</F-ID>", "abc", {"fid": "abc"}),
        ("<F-PORT/>", "ssh", {"fport": "ssh"}),
        (r"<F-PORT>\d+</F-PORT>", "22", {"fport": "22"}),
        ("u <F-USER>.*</F-USER> h", "u a b h", {"user": "a b"}),
        ("<F-ALT_USER_1>a</F-ALT_USER_1>|b", "a", {"alt_user_1": "a"}),
        ("<F-A>x<F-B>y</F-B></F-A>", "xy", {"a": "xy", "b": "y"}),
    ],
)
def test_tags(expression: str, text: str, groups: dict[str, str]) -> None:
    """A tag takes what it stands for, and names it."""
    assert _whose(f"(?:{expression})", text) == groups


@pytest.mark.parametrize(
    "text", ["<nothing>", "</F-USER>", "<F-user>", "<b>", "</HOST>", "<HOST", r"<a b>", "<>", "< HOST >", "<host>"]
)
def test_what_is_no_tag(text: str) -> None:
    """What is no tag of fail2ban's, or closes none, stays in the expression as literal text."""
    assert resolve(text) == text


def test_a_tag_closes_the_one_that_is_open() -> None:
    """Only names opened before are closed; others stay as they are, even between."""
    assert resolve("<F-A>x</F-B></F-A>") == "(?P<a>x</F-B>)"


def test_skipped_lines() -> None:
    """Each <SKIPLINES> is a group of its own and skips whole lines only."""
    pattern = compile_expression(r"^a<SKIPLINES>b<SKIPLINES>c$", is_multiline=True)
    match = pattern.search("a\nx\ny\nb\nc\n")
    assert match is not None
    assert match.groupdict() == {"skiplines0": "x\ny\n", "skiplines1": ""}
    assert pattern.search("a x\ny b\nc\n") is None


def test_many_lines_only_where_asked_for() -> None:
    """`^` and `$` are those of lines only where an expression may span several."""
    assert compile_expression("^b$", is_multiline=True).search("a\nb\nc\n")
    assert compile_expression("^b$").search("a\nb\nc\n") is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("x((?i)abc)y", "x(?i:abc)y"),
        ("x(?:(?is)abc)y", "x(?is:abc)y"),
        (r"x\((?:a)y", r"x\((?:a)y"),
        ("(?i)abc", "(?i)abc"),
        ("x(?i:abc)", "x(?i:abc)"),
    ],
)
def test_flags_within_a_group(written: str, read: str) -> None:
    """A flag that was once written inside its group goes into the group's head, and holds there only."""
    assert resolve(written) == read


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "would match every line"),
        (" \n", "would match every line"),
        ("(", "missing )"),
        ("<F-USER>x", "missing )"),
        ("<HOST> <ADDR>", "redefinition of group name"),
        ("<F-1>x</F-1>", "bad character in group name"),
        ("a{99999999999999999999}", "repetition number is too large"),
        ("(?<=a+)b", "look-behind requires fixed-width"),
        ("(" * 5000 + ")" * 5000, "not a valid regular expression"),
        ("a" * 65_537, "longer than 65536"),
    ],
)
def test_a_faulty_expression(expression: str, reason: str) -> None:
    """What cannot be compiled is a fault that says why, in few words."""
    with pytest.raises(FilterError, match=re.escape(reason)) as caught:
        compile_expression(expression)
    assert len(str(caught.value)) < 500


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(_PIECES), st.text("ab(?:)[]{}|\\^$*+.<>P=!#-1,i\n", max_size=4)), max_size=8
    ).map("".join)
)
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    """Random tags and marks give an expression that can be searched with, or FilterError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with contextlib.suppress(FilterError):
            pattern = compile_expression(text)
            assert not set(HOST_GROUPS) & set(pattern.groupindex) or "<" in text
            pattern.search("a 192.0.2.1 b\n")
