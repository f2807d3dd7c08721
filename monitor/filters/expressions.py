"""The compiled expressions of one filter, and the meaning of their groups."""

import re
from weakref import WeakValueDictionary

from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.fragments import may_be_empty, required
from monitor.filters.groups import Groups, Values
from monitor.filters.places import place_of_text
from monitor.filters.search import stoppable_search
from monitor.filters.tags import HOST_GROUPS, compile_expression

_IDENTITIES = {"fid", "mlfid", *HOST_GROUPS}
_LOOSE_DATE = re.compile(r"\{UNB\}|\*\*")


class Expression:
    """One failregex: the pattern and its groups."""

    __slots__ = ("fragments", "groups", "is_connected", "pattern", "search", "text", "values")

    def __init__(self, text: str, pattern: re.Pattern[str], prefix: re.Pattern[str] | None, fragments: str) -> None:
        """`fragments` is the text that a line must contain, for Hyperscan; empty: any line may match."""
        names = {*pattern.groupindex, *(prefix.groupindex if prefix else ())}
        self.text = text
        self.pattern = pattern
        self.search = stoppable_search(pattern)
        """Finds the first match in a text; see `stoppable_search`."""
        self.fragments = fragments
        self.is_connected = "mlfid" in names
        """Whether it joins the lines of one connection (MLFID)."""
        if not names & _IDENTITIES:
            raise FilterError(f"no <HOST>, <ADDR> or <F-ID> names the source of the failure: {text[:200]!r}")
        self.groups = Groups(pattern)
        """Those that have a meaning."""
        self.values = self.groups.values
        """Returns the values of a match; see `Groups.values`."""


class Prefix:
    """A prefregex: it must match first, and the failregex are matched against its content."""

    __slots__ = ("_content", "_groups", "_search", "pattern")

    def __init__(self, text: str, *, is_multiline: bool) -> None:
        """Compile the expression; FilterError if that fails."""
        self.pattern = compile_expression(text, is_multiline=is_multiline)
        self._search = stoppable_search(self.pattern)
        self._content = self.pattern.groupindex.get("content")
        self._groups = Groups(self.pattern)

    def split(self, text: str) -> tuple[str, Values] | None:
        """Return the content (with its newline) and the values of the prefix; None if it does not match."""
        match = self._search(text)
        if match is None:
            return None
        content = match[self._content] if self._content else None
        return (content + "\n" if content else text), self._groups.values(match)


class Expressions:
    """All compiled expressions of a filter."""

    def __init__(self, definition: FilterDefinition) -> None:
        """Compile them; FilterError names the filter, its file, and the first invalid expression."""
        is_multiline = definition.maxlines > 1
        text = definition.prefregex
        try:
            self.prefix = Prefix(text, is_multiline=is_multiline) if text else None
            prefix = self.prefix.pattern if self.prefix else None
            self.fail: list[Expression] = []
            for text in definition.failregex:
                self.fail.append(_expression(text, prefix, definition))
            ignore = []
            for text in definition.ignoreregex:
                ignore.append(compile_expression(text, is_multiline=is_multiline))
        except FilterError as error:
            place = place_of_text(definition.origin, text) or "built in"
            raise FilterError(f"filter {definition.name} ({place}): {error}") from error
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
