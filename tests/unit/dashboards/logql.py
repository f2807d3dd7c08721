"""A strict reader of the part of LogQL that the dashboards use; all else is an error.

Source of the grammar: https://grafana.com/docs/loki/latest/query/ (log queries, metric queries).
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>[a-zA-Z_]\w*)|(?P<number>\d+)|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)"""
    r"""|(?P<window>\[[^\]]+\])|(?P<sign>\|=|\|~|!=|!~|=~|=|[|{}(),]))"""
)
_MATCHES = ("=", "!=", "=~", "!~")
_OVER_TIME = ("count_over_time", "sum_over_time", "rate")


@dataclass
class LogQuery:
    """What a query selects and leaves."""

    labels: dict[str, str] = field(default_factory=dict)
    """Of the stream selector, with their matchers."""
    searched: list[str] = field(default_factory=list)
    """What lines must contain."""
    filters: list[tuple[str, str, str]] = field(default_factory=list)
    """Label, operator and text, in order."""
    unwrapped: str = ""
    by: tuple[str, ...] = ()
    """What a metric query groups by; empty for one that yields lines."""
    top: int = 0


class Reader:
    """Reads one query."""

    def __init__(self, text: str) -> None:
        """Split it into words."""
        self._words: list[tuple[str, str]] = []
        at, text = 0, text.strip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"no LogQL at {text[at:]!r}")
            self._words.append((found.lastgroup or "", found[found.lastgroup or 0]))
            at = found.end()
        self._query = LogQuery()

    def read(self) -> LogQuery:
        """Return the query; ValueError if it is none."""
        if self._next() == "topk":
            self._take("topk", "(")
            self._query.top = int(self._any("number"))
            self._take(",", "sum", "by", "(")
            self._query.by = tuple(self._names())
            self._take(")", "(")
            self._take(self._one_of(_OVER_TIME), "(")
            self._lines()
            self._any("window")
            self._take(")", ")", ")")
        else:
            self._lines()
        if self._words:
            raise ValueError(f"left over: {self._words}")
        return self._query

    def _lines(self) -> None:
        query = self._query
        self._take("{")
        while True:
            name, operator = self._any("name"), self._one_of(_MATCHES)
            self._take(operator)
            query.labels[name] = operator + self._any("text")
            if self._next() != ",":
                break
            self._take(",")
        self._take("}")
        while self._next() in ("|=", "|"):
            if self._next() == "|=":
                self._take("|=")
                query.searched.append(self._any("text"))
                continue
            self._take("|")
            if self._next() == "unwrap":
                self._take("unwrap")
                query.unwrapped = self._any("name")
                return
            name, operator = self._any("name"), self._one_of(_MATCHES)
            self._take(operator)
            query.filters.append((name, operator, self._any("text")[1:-1]))

    def _names(self) -> list[str]:
        names = [self._any("name")]
        while self._next() == ",":
            self._take(",")
            names.append(self._any("name"))
        return names

    def _next(self) -> str:
        return self._words[0][1] if self._words else ""

    def _one_of(self, words: tuple[str, ...]) -> str:
        if self._next() not in words:
            raise ValueError(f"expected one of {words}, found {self._next()!r}")
        return self._next()

    def _any(self, kind: str) -> str:
        if not self._words or self._words[0][0] != kind:
            raise ValueError(f"expected a {kind}, found {self._next()!r}")
        return self._words.pop(0)[1]

    def _take(self, *words: str) -> None:
        for word in words:
            if self._next() != word:
                raise ValueError(f"expected {word!r}, found {self._next()!r}")
            self._words.pop(0)


def parse(text: str) -> LogQuery:
    """Read a query whose variables are filled in; ValueError if it is not what we know of LogQL."""
    return Reader(text).read()
