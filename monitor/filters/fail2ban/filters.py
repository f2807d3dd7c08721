"""Reads one filter of filter.d with its parameters, as fail2ban would pass it to its server."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.fail2ban.document import NOTHING, Document
from monitor.filters.fail2ban.files import Loader
from monitor.filters.fail2ban.interpolation import Work
from monitor.filters.fail2ban.notation import parse_filter_reference
from monitor.filters.fail2ban.spoofable import IMPORTED, UDP, is_spoofable
from monitor.filters.fail2ban.tags import substitute

__all__ = ["FilterReader", "define", "open_filter", "parse_filter_reference", "read_filter"]

FILTER_OPTIONS = ("usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch")
_CONDITIONAL = re.compile(r"(\w+)\?.+")
_UNDEFINED = re.compile(r"\s*<([a-z_][\w\-]*)>\s*")
_MAX_LINES = 100
_WORK_CHARS = 1 << 25


def read_filter(
    directory: Path, name: str, parameters: Mapping[str, str] = NOTHING, *, logtype: str = "file"
) -> FilterDefinition:
    """Read `filter.d/NAME.conf` below `directory` (/etc/fail2ban), with included files and its `.local` files.

    `logtype` is `file` or `journal` and determines the start of the lines, unless filter or parameters set it.
    FilterError names the file, and the line if it is known.
    """
    reader = open_filter(Loader(Work(_WORK_CHARS)), directory, name, parameters, logtype)
    reader.read()
    return define(reader, reader.combined())


def open_filter(
    loader: Loader, directory: Path, name: str, parameters: Mapping[str, str], logtype: str
) -> "FilterReader":
    """Find a filter's files; FilterError if there are none."""
    base = directory / "filter.d" / name
    document = loader.load(base) if name.strip("./") else None
    if document is None:
        raise FilterError(f"{base}.conf: no such filter")
    return FilterReader(document, base, parameters, logtype)


class FilterReader:
    """The options of a filter: `[Definition]` and `[Init]`, parameters, and the options of the jail."""

    def __init__(self, document: Document, base: Path, parameters: Mapping[str, str], logtype: str) -> None:
        """Take the merged files of the filter; `base` is their path without `.conf`."""
        self.name = base.name
        self.origin = f"{base}.conf"
        self._document = document
        self._parameters = dict(parameters)
        if not self._parameters.get("logtype") and "logtype" not in document.own("Definition"):
            self._parameters["logtype"] = logtype
        self._options: dict[str, str] = {}
        self._variables: dict[str, str] = {}
        self._tags: dict[str, str | None] = {}

    def read(self, given: Mapping[str, str] = NOTHING, *, is_complete: bool = False) -> None:
        """Expand the options; `given` and the parameters take precedence over those of the filter.

        With `is_complete`, read all options of `[Definition]`, not only those that define a filter.
        """
        self._variables = {**given, **self._parameters}
        wanted = (name for name in FILTER_OPTIONS if name not in self._variables)
        self._options = dict(self._found("Definition", wanted, self._variables))
        for name, value in self._found("Init", self._document.own("Init")):
            if not name.startswith("known/"):
                self._parameters[f"known/{name}"] = value
            self._parameters.setdefault(name, value)
        if is_complete:
            others = (name for name in self._document.own("Definition") if name not in self._options)
            self._options |= dict(self._found("Definition", others))

    def _found(
        self, section: str, names: Iterator[str] | Mapping[str, object], variables: Mapping[str, str] = NOTHING
    ) -> Iterator[tuple[str, str]]:
        for name in names:
            value = self._document.find(section, name, variables)
            if value is not None:
                yield name, value

    def combined(self) -> dict[str, str]:
        """Return all options with their tags replaced; conditional ones (`x?family=inet6`) stay unchanged."""
        values = {**self._options, **self._parameters}
        conditional = {match[1] for name in values if (match := _CONDITIONAL.fullmatch(name))}
        return substitute(values, conditional, self._tag, self._document.work, self.origin)

    def _tag(self, name: str) -> str | None:
        """Return the value of a tag that is not an option read so far; like fail2ban, look it up only once."""
        if name not in self._tags:
            self._tags[name] = self._document.find_tag("Definition", name, self._variables)
        return self._tags[name]


def define(reader: FilterReader, options: Mapping[str, str], jail: Mapping[str, str] = NOTHING) -> FilterDefinition:
    """Create the definition from the finished options of a filter, and those that its jail overrides.

    FilterError if there is no failregex.
    """
    failregex = _lines(options, "failregex") + _lines(jail, "failregex")
    if not failregex:
        raise FilterError(f"{reader.origin}: has no failregex, so it cannot be used as a filter")
    maxlines, notes = _maxlines(options, jail)
    undefined = (match[1] for text in failregex if (match := _UNDEFINED.fullmatch(text)))
    notes += tuple(f"<{name}> is not defined: check the mode" for name in undefined)
    return FilterDefinition(
        name=reader.name,
        failregex=failregex,
        ignoreregex=_lines(options, "ignoreregex") + _lines(jail, "ignoreregex"),
        prefregex=options.get("prefregex", jail.get("prefregex", "")),
        maxlines=maxlines,
        datepattern=jail.get("datepattern", options.get("datepattern", "")),
        journalmatch=_journalmatch(reader.origin, options) + _journalmatch("the jail", jail),
        evidence=UDP if is_spoofable(reader.name) else IMPORTED,
        notes=notes,
        origin=reader.origin,
    )


def _lines(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(line for line in options.get(name, "").split("\n") if line)


def _maxlines(options: Mapping[str, str], jail: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """Return how many lines an expression may span, and a note if that is reduced; the filter takes precedence."""
    for text in (options.get("maxlines", ""), jail.get("maxlines", "")):
        if re.fullmatch(r"\s*[0-9]{1,9}\s*", text) and int(text) > 0:
            lines = int(text)
            return min(lines, _MAX_LINES), (f"maxlines {lines} is reduced to {_MAX_LINES}",) * (lines > _MAX_LINES)
    return 1, ()


def _journalmatch(where: str, options: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(tuple(shlex.split(line)) for line in _lines(options, "journalmatch"))
    except ValueError as error:
        raise FilterError(f"{where}: journalmatch: {error}") from None
