"""The templates of a `datepattern`, fail2ban's default templates, and how their matches are read."""

import datetime
import functools
import re
from collections.abc import Callable, Iterator

from monitor.filters.date_fields import FIELDS, UNREADABLE, Reading, read_fields
from monitor.filters.date_patterns import LINE_BEGIN, UNBOUND, DatePattern, anchor, expand_fields, has_group

_DEFAULTS = (
    # 2005-01-23T21:59:59.981746+01:00, 2005-01-23 21:59:59,000, 2005/01/23 8:59:59, 2005.01.23 21:59:59
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    # Jan 23 21:59:59, Sun Jan 23 21:59:59.011 2005
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    # Sun Jan 23 2005 21:59:59.011
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    # 23/01/2005 21:59:59, 23-01-05 21:59:59
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    # 23/Jan/2005:21:59:59 +0100, 23-Jan-2005 21:59:59.252
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    # 01/23/2005:21:59:59
    r"%m/%d/%ExY:%H:%M:%S",
    # 01-23-2005 21:59:59.252
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    # 1106513999.000, [1106513999], audit(1106513999.000:987)
    "EPOCH",
    # 21:59:59
    r"{^LN-BEG}%H:%M:%S",
    # <01/23/05@21:59:59>
    r"^<%m/%d/%Exy@%H:%M:%S>",
    # 050123 21:59:59
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    # Jan 23, 2005 9:59:59 PM
    r"%b %d, %ExY %I:%M:%S %p",
    # Jan-23-05 21:59:59
    r"^%b-%d-%Exy %k:%M:%S",
    # 20050123T215959, 20050123 215959.123+0100, 20050123-21:59:59
    r"%ExY%Exm%Exd(?:[T-]|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?",
    # CET Jan 23 21:59:59
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    # +01:00 Jan 23 21:59:59.011 2005
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    # @4000000041f4104f00000000
    "TAI64N",
)
_WEIGHT_AT_BEGIN = 100.0
_SEARCHED = 1000
_SHARED = 64
"""Values of `datepattern` whose templates are kept."""
_EVERYWHERE = 2**31 - 1

_date_mark = re.compile(r"(?<!\\)\{DATE\}", re.IGNORECASE)
_epoch_mark = re.compile(r"(?<!\\)\{L?EPOCH\}", re.IGNORECASE)
_group_name = re.compile(r"\(\?P<(\w+)>")
_EPOCH = r"\d{10,11}\b(?:\.\d{3,6})?"
_LONG_EPOCH = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?"

Seek = Callable[[str, int, int], re.Match[str] | None]
DateReader = Callable[[re.Match[str], float, datetime.tzinfo | None], Reading]


class Template:
    """One format of a date; its expression is compiled on first use. It has no state, so detectors share templates."""

    def __init__(self, name: str, expression: DatePattern, read: DateReader = read_fields, weight: float = 1.0) -> None:
        """`name` is its notation in a `datepattern`; a template with a higher `weight` is preferred earlier."""
        self.name = name
        self.expression = expression
        self.read = read
        self.weight = weight
        self.is_anchored = expression.is_at_begin or expression.is_at_end
        self.end = _EVERYWHERE if expression.is_at_end else _SEARCHED
        """How many characters of a line are searched: the first 1,000, or all if it is anchored to the end."""
        self.is_memorable = read is read_fields
        """Whether remembering the result costs less than reading the match again."""

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled expression; ValueError if it does not compile."""
        try:
            return re.compile(self.expression.text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a valid regular expression: {error}") from error

    @functools.cached_property
    def is_direct(self) -> bool:
        """Whether it can match only at the first character of a line."""
        return self.expression.matches_first_only

    @functools.cached_property
    def seek(self) -> Seek:
        """The function that searches a line between two positions."""
        return self.pattern.match if self.is_direct else self.pattern.search

    @functools.cached_property
    def time_groups(self) -> tuple[int, ...]:
        """The groups that determine the time, without the fraction; empty if the text of the first group does so."""
        if self.expression.is_whole:
            return ()
        return tuple(number for name, number in self.pattern.groupindex.items() if name in FIELDS and name != "f")

    @functools.cached_property
    def fraction(self) -> int:
        """The group that contains a fraction of a second; 0 if there is none."""
        return self.pattern.groupindex.get("f", 0)


@functools.lru_cache(_SHARED)
def templates(datepattern: str) -> tuple[Template, ...]:
    """Return the templates of a `datepattern`, at least one per line; the default ones if it is empty. ValueError."""
    found: dict[str, Template] = {}
    for line in filter(None, map(str.strip, datepattern.split("\n"))):
        try:
            found |= {template.name: template for template in _of_line(line) if template.name not in found}
        except ValueError as error:
            raise ValueError(f"datepattern {line!r}: {error}") from error
    if not found:
        return _defaults()
    return tuple(found.values())


def _of_line(line: str) -> list[Template]:
    key = _key(line)
    if key == "{DEFAULT}":
        return list(_defaults())
    if key == LINE_BEGIN:
        return [template for template in _defaults() if template.expression.is_at_begin]
    if not _date_mark.search(line):
        found = [_template(UNBOUND + "^" if key == "{NONE}" else line)]
    elif not (found := list(_around_default(line))):
        raise ValueError("{DATE} is surrounded by fields of a date")
    if not found[0].pattern.groups:  # the others are compiled on first use, because that is slow
        raise ValueError("no group says what to cut out of the line; put the date in parentheses")
    return found


@functools.lru_cache(maxsize=1)
def _defaults() -> tuple[Template, ...]:
    """Return the default templates: first those anchored to the start of the line, then the same ones anywhere."""
    at_begin = [
        Template(template.name, template.expression, template.read, _WEIGHT_AT_BEGIN)
        for template in (_template(LINE_BEGIN + form) for form in _DEFAULTS if not form.startswith((LINE_BEGIN, "^")))
    ]
    return (*at_begin, *map(_template, _DEFAULTS))


def _around_default(line: str) -> Iterator[Template]:
    """Replace `{DATE}` by each default template; EPOCH and TAI64N only where no other text surrounds it."""
    for form in _DEFAULTS:
        wrapped = _date_mark.sub(lambda _, form=form: form.removeprefix(LINE_BEGIN), line)  # type: ignore[misc]
        if form in {"EPOCH", "TAI64N"} and wrapped not in {form, "^" + form, LINE_BEGIN + form}:
            continue
        template = _template(wrapped)
        groups = _group_name.findall(template.expression.text)
        if len(groups) == len(set(groups)):  # the text around the date may contain the same field
            yield template


@functools.lru_cache(maxsize=512)
def _template(form: str) -> Template:
    key = _key(form)
    if (mark := _epoch_mark.search(form)) and "%" not in form:
        return _of_epoch_mark(form, is_long="LEPOCH" in mark[0].upper())
    bare = key.removeprefix(LINE_BEGIN).removeprefix("^")
    is_at_begin = key != bare
    if bare in {"EPOCH", "LEPOCH"}:
        return _of_epoch(key, is_at_begin=is_at_begin, is_long=bare == "LEPOCH")
    if bare == "TAI64N":
        return Template(key, anchor(LINE_BEGIN * is_at_begin + "@[0-9a-f]{24}", is_word_begin=False), _read_tai64n)
    text, ignores_case = expand_fields(form)
    return Template(form, anchor(text, ignores_case=ignores_case))


def _of_epoch_mark(form: str, *, is_long: bool) -> Template:
    marks = "".join(mark for mark in (UNBOUND, LINE_BEGIN) if mark in form)
    inner = form.removeprefix(UNBOUND).removeprefix(LINE_BEGIN)
    digits = f"(?P<epoch>{_LONG_EPOCH if is_long else _EPOCH})"
    text = _epoch_mark.sub(lambda _: digits, inner)
    return Template(
        form,
        anchor(marks + (text if has_group(inner) else f"({text})")),
        _read_long_epoch if is_long else _read_epoch,
    )


def _of_epoch(name: str, *, is_at_begin: bool, is_long: bool) -> Template:
    digits = f"(?P<epoch>{_LONG_EPOCH if is_long else _EPOCH})"
    if is_at_begin:
        text = rf"{LINE_BEGIN}((?P<square>(?<=^\[))?{digits})(?(square)(?=\]))"
    else:
        text = (
            rf"((?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\())){digits})"
            r"(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))"
        )
    return Template(name, anchor(text, is_word_begin=False), _read_long_epoch if is_long else _read_epoch)


def _key(form: str) -> str:
    """Return the key of a marker: upper case, unless it contains fields, where case matters."""
    return form if "%" in form else form.upper()


def _read_epoch(match: re.Match[str], now_s: float, zone: datetime.tzinfo | None) -> Reading:
    del now_s, zone
    return Reading(float(match["epoch"]), is_zoned=True) if match["epoch"] else UNREADABLE


def _read_long_epoch(match: re.Match[str], now_s: float, zone: datetime.tzinfo | None) -> Reading:
    """Read seconds, milliseconds (with or without a fraction) or microseconds, depending on the number of digits."""
    del now_s, zone
    text = match["epoch"]
    if not text:
        return UNREADABLE
    whole = len(text.partition(".")[0])
    return Reading(float(text) / (1 if whole < 13 else 1_000_000 if whole >= 16 else 1000), is_zoned=True)


def _read_tai64n(match: re.Match[str], now_s: float, zone: datetime.tzinfo | None) -> Reading:
    """Read seconds since the epoch as fail2ban does: the ten seconds between TAI and UTC in 1970 are ignored."""
    del now_s, zone
    return Reading(float(int(match[1][2:17], 16)), is_zoned=True)
