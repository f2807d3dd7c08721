"""What a match must contain, and the scanner that finds it: no line that matches may be missed."""

import datetime
import itertools
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from monitor.filters.dates import DateDetector
from monitor.filters.fragments import required
from monitor.filters.scanner import BlockScanner, Candidate, EveryLine, can_search
from monitor.filters.tags import compile_expression, resolve

_NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=datetime.UTC).timestamp()
_DATES = (
    "2026-11-23 17:33:00", "2026-11-23T17:33:00.25Z", "Nov 23 17:33:00", "Mon Nov 23 17:33:00 2026", "1795455180",
    "<11/23/26@17:33:00>", "23/Nov/2026:17:33:00 +0000", "[1795455180]", "20261123T173300", "Nov 23, 2026 5:33:00 PM",
)  # fmt: skip
_ATOM = re.compile(r"\[[^\]]*\]|\\x..|.")
_JUNK = st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"\r"))

_WORDS = (
    "Failed", "from", "user", "login 9", "for: ", "x\x00y", "éa", "Grüße", "日本", "[a]", "a.b", " (b) ", ": ", "a  b",
    "|", "\t", "-", "refused", '"q"', "\\", "#", "'", "denied for",
)  # fmt: skip
_CLASSES = {
    "[fF]": "fF", "[a-z]": "fgz", "[^a]": "b é\x00", "[. é]": ". é", r"\d": "09", r"\w": "a_é", r"\s": " \t",
    r"[\[\]]": "[]", "[äö]": "äö", "[abcd]": "abcd", "[abcde]": "ae", r"[\W]": " -", "[ -]": " -", ".": "a é\x00",
}  # fmt: skip
_TAGS = (
    ("<HOST>", "192.0.2.1"), ("<SUBNET>", "[2001:db8::1]"), ("<F-USER>.*</F-USER>", "root é"), ("<F-ID/>", "x;"),
)  # fmt: skip
_PLACES = (r"\b", r"\B", "", "(?!never)", "(?<!never)", "(?=.|$)", "(?<=[^~]|^)", "(?<!never|neve2)")
_GROUP = re.compile(r"\(\?P<(ip4|ip6|dns|user|fid|cidr)>")

_Pair = tuple[str, str]
"""An expression with tags, and a text that it matches (unless something around it forbids)."""


def _repeated(draw: DrawFn, text: str, sample: str) -> _Pair:
    times = draw(st.integers(0, 3))
    endless = ["*", "*?", f"{{{times},}}"] if not re.search(r"[*+}<]", text) else []  # one within another takes years
    repeat = draw(st.sampled_from([*endless, f"{{{times}}}", f"{{0,{times}}}?"]))
    return f"(?:{text}){repeat}", sample * times


def _referring(draw: DrawFn, text: str, sample: str, other: str, another: str) -> _Pair:
    name = f"g{draw(st.integers(0, 10**12))}"
    return draw(
        st.sampled_from(
            [
                (f"(?P<{name}>{text}){other}(?P={name})", sample + another + sample),
                (f"(?P<{name}>{text})?{other}(?({name})fgh|{text})", sample + another + "fgh"),
                (f"(?P<{name}>never)?{other}(?({name})fgh|{text})", another + sample),
                (f"(?P<{name}>{text}){other}(?({name})fgh)", sample + another + "fgh"),
            ]
        )
    )


def _joined(draw: DrawFn, text: str, sample: str, other: str, another: str) -> _Pair:
    return draw(
        st.sampled_from(
            [
                (text + other, sample + another),
                (f"{text}.*{other}", f"{sample}- x-{another}"),
                (f"(?:{text}|{other})", sample),
                (f"(?:{other}|{text})", sample),
                (f"(?:{text}f|{text}g|{text}{other})", sample + another),
                (f"(?:never|{text}|)", ""),
                (f"(?:{text})?{other}", another),
                (f"(?>{text}){other}", sample + another),
                (f"(?={text}){text}", sample),
                (f"(?={text}{other}){text}", sample + another),
                (f"(?!{text}never){text}", sample),
                (f"{text}(?<=.){other}", sample + another),
                (f"(?i:{text}){other}", sample.swapcase() + another),
                (f"(?i:{text}(?-i:{other}))", sample.title() + another),
            ]
        )
    )


def _piece(draw: DrawFn, depth: int) -> _Pair:
    kind = draw(st.integers(0, 9 if depth else 5))
    if kind < 4:
        word = draw(st.sampled_from(_WORDS))
        return re.escape(word), word
    if kind == 4:
        text, characters = draw(st.sampled_from(sorted(_CLASSES.items())))
        return text, draw(st.sampled_from(characters))
    if kind == 5:
        return draw(st.sampled_from((*_TAGS, *((place, "") for place in _PLACES))))
    text, sample = _sequence(draw, depth - 1, 2)
    if kind == 6:
        return _repeated(draw, text, sample)
    other, another = _sequence(draw, depth - 1, 2)
    join: Callable[..., _Pair] = _referring if kind == 7 else _joined
    return join(draw, text, sample, other, another)


def _sequence(draw: DrawFn, depth: int, longest: int) -> _Pair:
    pieces = [_piece(draw, depth) for _ in range(draw(st.integers(1, longest)))]
    return "".join(text for text, _ in pieces), "".join(sample for _, sample in pieces)


def _compiled(text: str) -> re.Pattern[str] | None:
    """Compile; groups that come twice get names of their own. None where `re` refuses."""
    numbers = itertools.count()
    text = _GROUP.sub(lambda match: f"(?P<{match[1]}_{next(numbers)}>", resolve(text))
    try:
        return re.compile(text)
    except re.error:
        return None


@st.composite
def _expressions(draw: DrawFn) -> tuple[re.Pattern[str], str]:
    """Draw an expression and a text that it most likely matches: as a search in it, not from its begin."""
    text, sample = _sequence(draw, 2, 4)
    flags = draw(st.sampled_from(["", "", "", "(?i)", "(?s)"]))
    begin, end = draw(st.sampled_from([("", ""), ("", ""), ("^", ""), ("", "$"), ("^.*?", "$"), (r"\A", r"\s*\Z")]))
    if flags == "(?i)":
        sample = sample.swapcase()
    pattern = _compiled(f"{flags}{begin}{text}{end}")
    # `re` refuses a group that stands twice, as where an expression was doubled
    return pattern or re.compile(flags + re.escape(sample)), sample


def _is_told_apart(fragment: str) -> bool:
    """Return whether Hyperscan can be trusted with a fragment; see test_two_bytes_that_may_be_several."""
    parts = [part for part in re.split(r"\.\*|\(\?i?:|\||\)", fragment) if "[" in part or "|" in fragment]
    return can_search(fragment) and all(len(_ATOM.findall(part)) not in (1, 2) for part in parts)


def _holds(fragment: str, line: bytes) -> bool:
    """Return whether a line holds what a fragment says, by `re`."""
    return re.search(fragment.encode(), line) is not None


def _numbers(found: Sequence[Candidate], data: bytes) -> dict[int, set[int]]:
    """Check the shape of candidates; return the expressions of each line, by the line's number."""
    ends = [end for _, end, _ in found]
    assert ends == sorted(set(ends))
    lines = {}
    for start, end, numbers in found:
        assert start == 0 or data[start - 1 : start] == b"\n"
        assert data.find(b"\n", start) + 1 == end
        assert numbers is not None
        assert list(numbers) == sorted(set(numbers))
        lines[data.count(b"\n", 0, start)] = set(numbers)
    return lines


# the same examples each time: `re` takes minutes for some expressions, and nothing can interrupt it
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(_expressions(), _JUNK, _JUNK), min_size=1, max_size=5), st.data())
def test_no_match_is_missed(cases: list[tuple[tuple[re.Pattern[str], str], bytes, bytes]], data: st.DataObject) -> None:
    """Whatever the expressions and lines, each line is a candidate of all that match it, all in one database."""
    patterns = [pattern for (pattern, _), _, _ in cases]
    wanted = [(pattern, text) for pattern in patterns if _is_told_apart(text := required(pattern))]
    lines = [before + sample.encode() + after for (_, sample), before, after in cases]
    lines = data.draw(st.permutations([*lines, b"", b"Failed", lines[0] + lines[-1]]))
    block = b"".join(line + b"\n" for line in lines)
    found = _numbers(BlockScanner([text for _, text in wanted] or ["-"]).candidates(block), block)
    for line_number, line in enumerate(lines):
        text = line.decode(errors="replace") + "\n"
        matching = {index for index, (pattern, _) in enumerate(wanted) if pattern.search(text)}
        assert matching <= found.get(line_number, set())
        assert all(_holds(required(pattern), line) for pattern in patterns if pattern.search(text))


def _borders(text: str) -> list[int]:
    """Return where a date may stand: between characters of which none is part of a word."""
    marked = re.sub(r"\w", "w", f"-{text}-")
    return [place for place in range(len(text) + 1) if "w" not in marked[place : place + 2]]


@settings(max_examples=150, deadline=None)
@given(_expressions(), st.sampled_from(_DATES), st.data())
def test_nor_is_one_whose_date_was_cut_out(case: tuple[re.Pattern[str], str], date: str, data: st.DataObject) -> None:
    """What matches only without the date that stands in a line is found in the line with it."""
    pattern, sample = case
    text = f" {sample} "
    place = data.draw(st.sampled_from(_borders(text)) | st.integers(0, len(text)))
    line = text[:place] + date + text[place:]
    fragment = required(pattern)
    dated = DateDetector(timezone=datetime.UTC).find(line, _NOW_S)
    if dated is not None and pattern.search(line[: dated.start] + line[dated.end :] + "\n"):
        block = line.encode() + b"\n"
        assert _holds(fragment, block)
        assert not _is_told_apart(fragment) or BlockScanner([fragment]).candidates(block) == [(0, len(block), (0,))]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(_expressions(), st.sampled_from(["<F-CONTENT>.+</F-CONTENT>", "<F-CONTENT>.+?</F-CONTENT>( end)?"]), _JUNK)
def test_nor_behind_a_prefix(case: tuple[re.Pattern[str], str], content: str, junk: bytes) -> None:
    """With a prefregex, a line is found whose prefix matches and whose content matches the rest."""
    pattern, sample = case
    prefix = compile_expression(rf"(?s)^(?:host )?\w+\[\d+\]: (?:error: )?{content}$")
    line = b"host srv[7]: error: " + sample.encode() + junk + b"\n"
    match = prefix.search(line.decode(errors="replace"))
    if match is not None and pattern.search(match["content"] + "\n"):
        fragment = required(prefix, pattern)
        assert bool(fragment) >= bool(required(pattern))
        assert _holds(fragment, line)
        scanner = BlockScanner(["nothing", fragment if _is_told_apart(fragment) else "error"])
        assert scanner.candidates(b"\n" + line) == [(1, len(line) + 1, (1,))]


@pytest.mark.parametrize(
    ("expression", "fragment"),
    [
        (r"^Failed \S+ for .* from <HOST>$", r"Failed\x20.*\x20for\x20.*\x20from\x20"),
        ("^user (?:root|admin) no$", r"user\x20.*(?:root|admin).*\x20no"),
        ("^[Ff]ailed", "[Ff]ailed"),
        ("(?i)^failed é no", r"(?i:failed\x20).*(?i:\x20no)"),
        ("(?:abc){2,}(?:def)?", "abc"),
        ("(?:abc|def|)(?!ghi)", ""),
        (r"foo: \[bar", "foo\\x3a.*\\x5bbar"),
        ("é<HOST>x", "\\xc3\\xa9.*x"),
        ("(?i)^failed éA-<HOST> no", r"(?i:failed\x20).*(?i:\x20no)"),
    ],
)
def test_what_is_required(expression: str, fragment: str) -> None:
    """Fragments hold all literal text of at least three characters that no match lacks, split where a date can be."""
    assert required(compile_expression(expression)) == fragment


def _is_found(expression: str, line: str) -> bool:
    """Return whether a line that an expression matches is a candidate; both are checked to be so."""
    pattern = compile_expression(expression)
    assert pattern.search(f"{line}\n")
    if not required(pattern):  # every line is one
        return True
    assert can_search(required(pattern))
    data = f"{line}\n".encode()
    return bool(BlockScanner([required(pattern)]).candidates(data + b"other\n") == [(0, len(data), (0,))])


@pytest.mark.parametrize(
    ("expression", "text"),
    [("[mnop]r.*eq", "preq"), ("f[abcd].*login", "fdlogin"), ("(?:mj|ej|iu|dz).*mv", "dzmv")],
)
def test_two_bytes_that_may_be_several(expression: str, text: str) -> None:
    """Two bytes with several alternatives are found where the next text follows at once."""
    assert all(_is_found(expression, "x" * before + text + "y" * 30) for before in (0, 8, 16, 40, 100))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("(?i)(?:FailedFailed|for:).*for:.*(?:fgh|Failed)", "FAILEDfailed192.0.2.1FailedFOR: Failed"),
        ("q-.*(?:q-|ef gh).*FailedFailed", "q- FailedFailed user q- invalid user FailedFailed to"),
        ("(?i)(?:for:|to).*(?:for:|invalid user)", "FOR: 1.2.3.4 ABCD FOR:"),
        ("(?i)abcd.*error:.*for:.*Failed.*FailedFailed", "abcderror:invalid userfor:FailedFailedFailed"),
    ],
)
def test_the_same_text_twice(expression: str, text: str) -> None:
    """Text that is part of another piece is required once: lines that hold it several times are found."""
    assert all(_is_found(expression, "x" * before + text + "y" * 30) for before in (0, 8, 16, 40, 100))


@pytest.mark.xfail(strict=True, reason="`re` takes U+017F, U+212A and U+0131 for s, k and i where case is ignored")
@pytest.mark.parametrize("line", ["u\u017fer x", "tic\u212aet x", "log\u0131n x"])
def test_letters_that_differ_by_case_only(line: str) -> None:
    """Where case is ignored, letters beyond ASCII that `re` takes for ASCII ones do not hide a line."""
    assert _is_found("(?i)(?:user|ticket|login) x", line)


@pytest.mark.parametrize("expression", [r"failed\n", r"failed[\r\n]", "failed\n$"])
def test_an_expression_with_a_newline(expression: str) -> None:
    """An expression that takes the line's own newline finds that line."""
    assert _is_found(expression, "login failed")


def test_an_expression_with_a_replacement_character() -> None:
    """An expression that holds U+FFFD finds lines in which bytes are no UTF-8."""
    pattern, data = compile_expression("us\ufffder failed"), b"us\xffer failed\n"
    assert pattern.search(data.decode(errors="replace"))
    assert BlockScanner([required(pattern)]).candidates(data)


def test_other_lines_are_no_candidates() -> None:
    """Lines that lack what is required, or hold it in another order or over two lines, are not looked at."""
    scanner = BlockScanner([required(compile_expression("^Failed .* from <HOST>"))])
    assert scanner.candidates(b"Failed\nfrom 192.0.2.1\nx from Failed\nAccepted from\n\nfailed x from y\n") == []
    assert scanner.candidates(b"") == []


def test_one_candidate_a_line() -> None:
    """However often a line holds what several expressions require, it is one candidate with all their numbers."""
    scanner = BlockScanner(["abc", "bcd", "abc", "abcd", "xyz"])
    assert scanner.candidates(b"abcd abcd\n" * 2) == [(0, 10, [0, 1, 2, 3]), (10, 20, [0, 1, 2, 3])]


@given(st.lists(st.binary(max_size=6).map(lambda data: data.replace(b"\n", b"")), max_size=6))
def test_every_line(lines: list[bytes]) -> None:
    """Without Hyperscan all lines are candidates of all expressions."""
    block = b"".join(line + b"\n" for line in lines)
    found = EveryLine().candidates(block)
    assert [(block[start:end], numbers) for start, end, numbers in found] == [(line + b"\n", None) for line in lines]


def test_what_is_too_large_cannot_be_searched() -> None:
    """Hyperscan refuses very large fragments."""
    assert not can_search("(?:" + "|".join(".*".join(["x" * 200] * 30) for _ in range(3)) + ")" + ".*y" * 20_000)
    assert can_search(required(compile_expression("x" * 900)))
