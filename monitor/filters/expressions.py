"""The compiled expressions of one filter, and the meaning of their groups."""

import re
from weakref import WeakValueDictionary

from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.fragments import may_be_empty, required
from monitor.filters.search import stoppable_search
from monitor.filters.tags import HOST_GROUPS, compile_expression

_ALTERNATIVE = re.compile(r"alt_(.+?)(?:_\d+)?")
_FIELDS = ("mlfid", "nofail", "mlfforget", "mlfgained", "user", "ip4", "ip6", "dns", "fid", "cidr")
_IDENTITIES = {"fid", "mlfid", *HOST_GROUPS}
_LOOSE_DATE = re.compile(r"\{UNB\}|\*\*")

Values = dict[str, str | None]
"""The text of the groups of a match: those of `_FIELDS` that the expression has."""


class Expression:
    """One failregex: the pattern and the numbers of its groups."""

    __slots__ = (
        "_addresses",
        "_alternatives",
        "_fields",
        "_numbers",
        "_single",
        "fragments",
        "is_connected",
        "pattern",
        "search",
        "text",
    )

    def __init__(self, text: str, pattern: re.Pattern[str], prefix: re.Pattern[str] | None, fragments: str) -> None:
        """`fragments` is the text that a line must contain, for Hyperscan; empty: any line may match."""
        groups = pattern.groupindex
        names = {*groups, *(prefix.groupindex if prefix else ())}
        self.text = text
        self.pattern = pattern
        self.search = stoppable_search(pattern)
        """Finds the first match in a text; see `stoppable_search`."""
        self.fragments = fragments
        self.is_connected = "mlfid" in names
        """Whether it joins the lines of one connection (MLFID)."""
        if not names & _IDENTITIES:
            raise FilterError(f"no <HOST>, <ADDR> or <F-ID> names the source of the failure: {text[:200]!r}")
        self._fields = tuple(name for name in _FIELDS if name in groups)
        self._numbers = tuple(groups[name] for name in self._fields)
        self._addresses = tuple((name, groups[name]) for name in ("ip4", "ip6") if name in groups)
        self._single = len(self._fields) == 1
        self._alternatives = sorted(
            (name, number, found[1]) for name, number in groups.items() if (found := _ALTERNATIVE.fullmatch(name))
        )

    def values(self, match: re.Match[str]) -> Values:
        """Return the values of a match; `alt_` groups replace groups that are empty.

        An address that is only a part of a longer word is None: the line does not contain that address.
        """
        numbers = self._numbers
        if not numbers:
            values: Values = {}
        elif self._single:
            values = {self._fields[0]: match[numbers[0]]}
        else:
            values = dict(zip(self._fields, match.group(*numbers), strict=True))
        for name, number in self._addresses:
            if values[name] and _is_cut(match, number):
                values[name] = None
        for _, number, name in self._alternatives:
            if not values.get(name) and match[number]:
                values[name] = match[number]
        return values


def _is_cut(match: re.Match[str], number: int) -> bool:
    """Whether the text around a group continues it, so that its address is only a part of another one or of a name."""
    text = match.string
    start, end = match.span(number)
    if text[start - 1 : start] == " " == text[end : end + 1]:  # as in most lines
        return False
    if start and ((before := text[start - 1]).isalnum() or before in "._"):
        return True
    after = text[end : end + 2]
    if after[:1].isalnum() or after[:1] == "_":
        return True
    # A port may follow an IPv6 address if the expression allows it.
    joint = after[:1] == "." or (after[:1] == ":" and ":" in match[number] and match.end() == end)
    return joint and after[1:].isalnum()


class Prefix:
    """A prefregex: it must match first, and the failregex are matched against its content."""

    __slots__ = ("_content", "_fields", "_numbers", "_search", "pattern")

    def __init__(self, text: str, *, is_multiline: bool) -> None:
        """Compile the expression; FilterError if that fails."""
        self.pattern = compile_expression(text, is_multiline=is_multiline)
        self._search = stoppable_search(self.pattern)
        groups = self.pattern.groupindex
        self._content = groups.get("content")
        self._fields = tuple(name for name in _FIELDS if name in groups)
        self._numbers = tuple(groups[name] for name in self._fields)

    def split(self, text: str) -> tuple[str, Values] | None:
        """Return the content (with its newline) and the values of the prefix; None if it does not match."""
        match = self._search(text)
        if match is None:
            return None
        content = match[self._content] if self._content else None
        values: Values = {name: match[number] for name, number in zip(self._fields, self._numbers, strict=True)}
        return (content + "\n" if content else text), values


class Expressions:
    """All compiled expressions of a filter."""

    def __init__(self, definition: FilterDefinition) -> None:
        """Compile them; FilterError names the filter, its file, and the first invalid expression."""
        is_multiline = definition.maxlines > 1
        try:
            self.prefix = Prefix(definition.prefregex, is_multiline=is_multiline) if definition.prefregex else None
            prefix = self.prefix.pattern if self.prefix else None
            self.fail = [_expression(text, prefix, definition) for text in definition.failregex]
            ignore = [compile_expression(text, is_multiline=is_multiline) for text in definition.ignoreregex]
        except FilterError as error:
            raise FilterError(f"filter {definition.name} ({definition.origin or 'built in'}): {error}") from error
        if not self.fail:
            raise FilterError(f"filter {definition.name} ({definition.origin or 'built in'}) has no failregex")
        self.ignore = [stoppable_search(pattern) for pattern in ignore]
        self.ignores_early = 0 < len(self.ignore) < len(self.fail) - 2
        """With few ignoreregex and many failregex, fail2ban first matches the ignoreregex against the whole line."""

    def is_ignored(self, text: str) -> bool:
        """Whether an ignoreregex matches."""
        return any(search(text) for search in self.ignore)


_shared: WeakValueDictionary[FilterDefinition, Expressions] = WeakValueDictionary()


def shared_expressions(definition: FilterDefinition) -> Expressions:
    """Return the compiled expressions; detectors with the same filter share them, since compiling takes long."""
    expressions = _shared.get(definition)
    if expressions is None:
        expressions = _shared[definition] = Expressions(definition)
    return expressions


def _expression(text: str, prefix: re.Pattern[str] | None, definition: FilterDefinition) -> Expression:
    pattern = compile_expression(text, is_multiline=definition.maxlines > 1)
    return Expression(text, pattern, prefix, _fragments(pattern, prefix, definition))


def _fragments(pattern: re.Pattern[str], prefix: re.Pattern[str] | None, definition: FilterDefinition) -> str:
    """Return the text that a line must contain; none if lines are joined or the date may be inside a word."""
    if definition.maxlines > 1 or _LOOSE_DATE.search(definition.datepattern):
        return ""
    if prefix is None:
        return required(pattern)
    if "content" not in prefix.groupindex:
        return required(pattern) or required(prefix)
    if may_be_empty(prefix, "content"):  # then the failregex are matched against the whole line
        return required(pattern) or required(prefix)
    return required(prefix, pattern)
