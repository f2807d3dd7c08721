"""fail2ban's notation of a date's place and form (jail.conf(5), `datepattern`), turned into expressions for `re`."""

import re
from typing import NamedTuple

from monitor.filters.date_fields import ALPHABETIC, FIELDS

LINE_BEGIN = "{^LN-BEG}"
"""The date begins the line, after two characters at most that belong to no word."""
UNBOUND = "{UNB}"
"""The date may begin and end within words."""

_OUTSIDE_WORDS = r"(?!\w(?<=\w\w))"  # what fail2ban writes as (?=\b|\W|$) and (?=^|\b|\W), but cheaper
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


class Expression(NamedTuple):
    """Where a date stands and what it looks like."""

    text: str
    """For `re`; its first group is what is cut out of the line."""
    is_at_begin: bool
    """Whether it is tied to the line's begin."""
    is_at_end: bool
    """Whether it is tied to the line's end."""
    is_whole: bool
    """Whether the first group holds all fields: then its text alone says the time."""

    @property
    def matches_first_only(self) -> bool:
        """Whether it can match nowhere but at the first character, so that it need not be searched for."""
        text = _flags.sub("", self.text)
        return text.startswith("^") and not _has_choice(text)


def expand_fields(pattern: str) -> tuple[str, bool]:
    """Put expressions in the place of `%` fields; the second says whether case is to be ignored. ValueError."""
    ignores_case = False

    def replace(match: re.Match[str]) -> str:
        nonlocal ignores_case
        ignores_case = ignores_case or match[1] in ALPHABETIC
        try:
            return FIELDS[match[1]]
        except KeyError:
            raise ValueError(f"{match[0]!r} is no field of a date (a percent sign is written %%)") from None

    return _field.sub(replace, pattern), ignores_case


def place(pattern: str, *, ignores_case: bool = False, is_word_begin: bool = True) -> Expression:
    """Tie an expression, its fields expanded, to the line's begin or to words, as its marks say.

    Marks are `{^LN-BEG}` and `{UNB}` before it, `**` (no tie) at either end, `^` and `$`. Without a group of its own
    the whole becomes the first group. `is_word_begin` False: it says itself where it begins.
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
    is_whole = not _group(text)
    if is_whole and (body := _body(text)):
        text = "{}({}){}".format(*body.groups())
    if binds_begin:
        text = (r"^\W{0,2}" if is_line_begin else _OUTSIDE_WORDS) + text
    is_at_end = not binds_end and bool(_at_line_end(text))
    is_at_begin = bool(_at_line_begin(text))
    if binds_end:
        text += _OUTSIDE_WORDS
    flags = "".join(sorted(set(letters.replace("u", ""))))
    return Expression(f"(?{flags}){text}" if flags else text, is_at_begin, is_at_end, is_whole)


def _has_choice(text: str) -> bool:
    """Whether there is a `|` outside all groups."""
    text, previous = _opaque.sub("", text), ""
    while text != previous:
        text, previous = re.sub(r"\([^()]*\)", "", text), text
    return "|" in text
