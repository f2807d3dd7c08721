"""Translates fail2ban's `datepattern` (jail.conf(5)), the position and format of a date, to expressions for `re`."""

import re
from typing import NamedTuple

from monitor.filters.date_fields import ALPHABETIC, FIELDS

LINE_BEGIN = "{^LN-BEG}"
"""The date starts the line, after at most two characters that are not part of a word."""
UNBOUND = "{UNB}"
"""The date may start and end inside a word."""

_OUTSIDE_WORDS = r"(?!\w(?<=\w\w))"  # cheaper than fail2ban's (?=\b|\W|$) and (?=^|\b|\W)
_field = re.compile(r"%(Ex[a-zA-Z]|.?)")
_flags = re.compile(r"(?<!\\)\(\?([aiLmsux]+)\)")
_begins_itself = re.compile(r"\(*(?:(?:\(\?:)?\^|\*\*)").match
_ends_itself = re.compile(r"(?<!\\)(?:\$\)?|\\b|\\s|\*\*\)*)$").search
_stars_before = re.compile(r"^(\(*)\*\*")
_stars_after = re.compile(r"(?<!\\)\*\*(\)*)$")
_group = re.compile(r"(?<!\(\?)(?<!\\)\((?!\?)").search
_body = re.compile(r"(\^?)(.*?)(\$?)", re.DOTALL).fullmatch
_at_line_begin = re.compile(r"\^|\((?:\?:)?\^(?!\|)").match
_at_line_end = re.compile(r"(?<![\\|])\$\)?$").search
_opaque = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


class DatePattern(NamedTuple):
    """The position and format of a date."""

    text: str
    """An expression for `re`; the text of its first group is cut out of the line."""
    is_at_begin: bool
    """Whether it is anchored to the start of the line."""
    is_at_end: bool
    """Whether it is anchored to the end of the line."""
    is_whole: bool
    """Whether the first group contains all fields, so that its text alone determines the time."""

    @property
    def matches_first_only(self) -> bool:
        """Whether it can match only at the first character, so that no search is needed."""
        text = _flags.sub("", self.text)
        return text.startswith("^") and not _has_choice(text)


def expand_fields(pattern: str) -> tuple[str, bool]:
    """Replace `%` fields by expressions; return text and whether to ignore case. ValueError for an unknown field."""
    ignores_case = False

    def replace(match: re.Match[str]) -> str:
        nonlocal ignores_case
        ignores_case = ignores_case or match[1] in ALPHABETIC
        try:
            return FIELDS[match[1]]
        except KeyError:
            raise ValueError(f"{match[0]!r} is not a date field (write %% for a percent sign)") from None

    return _field.sub(replace, pattern), ignores_case


def anchor(pattern: str, *, ignores_case: bool = False, is_word_begin: bool = True) -> DatePattern:
    """Anchor an expression whose fields are expanded to the start of the line or to word boundaries, as it specifies.

    The markers are a leading `{^LN-BEG}` or `{UNB}`, `**` (no anchor) at either end, `^` and `$`. An expression without
    a group becomes the first group as a whole. With `is_word_begin` False it has no word boundary added at its start.
    """
    text = pattern.strip()
    is_bound = not text.startswith(UNBOUND)
    text = text.removeprefix(UNBOUND)
    is_line_begin = text.startswith(LINE_BEGIN)
    text = text.removeprefix(LINE_BEGIN)
    letters = "".join(_flags.findall(text)) + "i" * ignores_case
    text = _flags.sub("", text)
    binds_begin = is_bound and (is_word_begin or is_line_begin) and not _begins_itself(text)
    binds_end = is_bound and not _ends_itself(text)
    text = _stars_after.sub(r"\1", _stars_before.sub(r"\1", text))
    is_whole = not has_group(text)
    if is_whole and (body := _body(text)):
        text = "{}({}){}".format(*body.groups())
    if binds_begin:
        text = (r"^\W{0,2}" if is_line_begin else _OUTSIDE_WORDS) + text
    is_at_end = not binds_end and bool(_at_line_end(text))
    is_at_begin = bool(_at_line_begin(text))
    if binds_end:
        text += _OUTSIDE_WORDS
    flags = "".join(sorted(set(letters.replace("u", ""))))
    return DatePattern(f"(?{flags}){text}" if flags else text, is_at_begin, is_at_end, is_whole)


def has_group(pattern: str) -> bool:
    """Whether a pattern has an unnamed group, whose text alone is cut out of the line."""
    return _group(pattern) is not None


def _has_choice(text: str) -> bool:
    """Whether there is a `|` outside all groups."""
    text, previous = _opaque.sub("", text), ""
    while text != previous:
        text, previous = re.sub(r"\([^()]*\)", "", text), text
    return "|" in text
