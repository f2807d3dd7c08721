"""Reads fail2ban's jails: which are enabled, what each reads, and its thresholds."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.fail2ban.document import Document
from monitor.filters.fail2ban.durations import parse_duration
from monitor.filters.fail2ban.files import Loader
from monitor.filters.fail2ban.filters import FILTER_OPTIONS, FilterReader, define, open_filter
from monitor.filters.fail2ban.ignored import read_ignoreip
from monitor.filters.fail2ban.increment import IncrementSettings, read_increment
from monitor.filters.fail2ban.ini import Option
from monitor.filters.fail2ban.interpolation import Work
from monitor.filters.fail2ban.notation import format_filter_reference, is_true, parse_filter_reference
from monitor.filters.fail2ban.spoofable import UDP, is_spoofable
from monitor.filters.fail2ban.unsupported import Actions, notes_on_defaults, notes_on_options

LONGEST_BAN_S = 365 * 86_400.0
_MAX_JAILS = 1000
_WORK_CHARS = 1 << 27
_BACKENDS = {"auto": "auto", "systemd": "journal", "polling": "files", "pyinotify": "files", "gamin": "files"}
_EXPRESSIONS = ("failregex", "ignoreregex", "prefregex", "maxlines", "datepattern")
_FIRST = ("enabled", "backend", "filter", "systemd_if_nologs")
_NO_LOGPATH = "it has no logpath"
_OPTIONS = (
    *_FIRST,
    *("maxretry", "maxmatches", "findtime", "bantime", "ignorecommand", "ignoreself", "ignoreip", "ignorecache"),
    *("logtimezone", "logpath", "skip_if_nologs"),
    *FILTER_OPTIONS,
)


class Jail(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled jail. Options that are not set have fail2ban's built-in defaults."""

    name: str
    filter: FilterDefinition | None = None
    """The filter with the parameters and expressions of the jail; None if it cannot be read."""
    fault: str = ""
    """Why it cannot run; empty if it can."""
    reference: str = ""
    """The filter in the notation of `detectors.failures.NAME.filter`: path and parameters."""
    own_options: tuple[str, ...] = ()
    """The options of the filter that the jail overrides, so that `reference` alone is not equivalent."""
    maxretry: int = 3
    findtime_s: float = 600.0
    bantime_s: float = 600.0
    """At most LONGEST_BAN_S, which also replaces an endless ban of fail2ban."""
    files: tuple[str, ...] = ()
    """Paths, which may contain patterns of glob(7); empty if the journal is read."""
    ports: tuple[str, ...] = ()
    """The ports that its bans are limited to, as for `detectors.NAME.ports`; empty: all."""
    backend: str = "auto"
    """`auto`, `journal` or `files`."""
    journalmatch: tuple[tuple[str, ...], ...] = ()
    skip_if_nologs: bool = False
    """Whether it is no fault that none of its logs exists."""
    is_recidive: bool = False
    """Whether it counts fail2ban's own bans, as `bans.recidive` does with ours."""
    ignoreip: tuple[str, ...] = ()
    """Addresses, networks and names as written in the file, those of `file:PATH` included."""
    timezone: str = ""
    """A zone in fail2ban's notation (`UTC+0200`); empty: the system's."""
    notes: tuple[str, ...] = ()
    """What could not be imported, one sentence each."""
    place: str = ""
    """Where it is switched on or configured: `FILE:LINE`."""

    @property
    def is_foreign(self) -> bool:
        """Whether it works in fail2ban, and is nothing that can run here."""
        return self.filter is not None and bool(self.fault) and self.fault != _NO_LOGPATH


class Fail2banConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """The enabled jails in the order of the files, and what applies to all of them."""

    jails: tuple[Jail, ...]
    faults: tuple[str, ...] = ()
    """Sections for which it is not known whether they are enabled, one line each."""
    ignoreip: tuple[str, ...] = ()
    """The addresses and networks that `[DEFAULT]` exempts from bans."""
    notes: tuple[str, ...] = ()
    increment: IncrementSettings = IncrementSettings({})
    """`bantime.increment` of `[DEFAULT]` as `bans.increment`."""
    files: tuple[Path, ...] = ()
    """The files that all this was read from, also those that could exist and do not."""


def read_jails(directory: Path, *, is_strict: bool = False) -> Fail2banConfiguration:
    """Read jail.conf, jail.d/*.conf, jail.local and jail.d/*.local, in this order.

    FilterError if none exists or can be read. A damaged file is named in `faults`, and what is left of it counts; a
    jail with a damaged section does not run. With `is_strict` that is a FilterError. A fault in a single jail is
    reported in its `fault`.
    """
    loader = Loader(Work(_WORK_CHARS))
    document, damages = loader.load_damaged(directory / "jail")
    damaged: dict[str, str] = {}
    for one in (one for found in damages.values() for one in found):
        damaged.setdefault(one.section, one.text)
    if document is None or (is_strict and damaged):
        none = f"{directory}: no jail.conf or jail.local; name the directory of fail2ban"
        raise FilterError("; ".join(damaged.values()) or none)
    given = {"fail2ban_version": "1.1.0", "fail2ban_confpath": str(directory)}
    document.defaults.update({name: Option(text.replace("%", "%%")) for name, text in given.items()})
    faults = [text for found in damages.values() for text in dict.fromkeys(one.text for one in found)]
    names = _enabled(document, faults)
    ignoreip: tuple[str, ...] = ()
    try:
        ignoreip = read_ignoreip(document.find("DEFAULT", "ignoreip") or "", faults.append)
    except FilterError as error:
        faults.append(str(error))
    jails = tuple(
        Jail(name=name, fault=damaged[name])
        if name in damaged
        else _JailReader(loader, directory, document, name).read()
        for name in names
    )
    notes = tuple(notes_on_defaults(document))
    return Fail2banConfiguration(
        jails=jails,
        faults=tuple(faults),
        ignoreip=ignoreip,
        notes=notes,
        increment=read_increment(document),
        files=loader.paths,
    )


def _enabled(document: Document, faults: list[str]) -> list[str]:
    names: list[str] = []
    for name in document.sections():
        try:
            if name != "INCLUDES" and is_true(document.find(name, "enabled") or ""):
                names.append(name)
        except FilterError as error:
            faults.append(str(error))
    if len(names) > _MAX_JAILS:
        faults.append(f"{len(names)} jails are enabled, only the first {_MAX_JAILS} are read")
    return names[:_MAX_JAILS]


class _JailReader:
    """Reads one jail."""

    def __init__(self, loader: Loader, directory: Path, document: Document, name: str) -> None:
        self._loader = loader
        self._directory = directory
        self._document = document
        self._name = name

    def read(self) -> Jail:
        """Return the jail; if it cannot be read, its `fault` says why."""
        own = self._document.own(self._name)
        option = own.get("enabled") or next(iter(own.values()), None)
        place = option.location if option else ""
        try:
            return msgspec.structs.replace(self._read(), place=place)
        except FilterError as error:
            return Jail(name=self._name, fault=str(error), place=place)

    def _read(self) -> Jail:
        first = self._options(_FIRST)
        backend = _backend(first.get("backend", "auto"))
        if backend == "auto" and not is_true(first.get("systemd_if_nologs", "true")):
            backend = "files"
        if not first.get("filter"):
            return Jail(name=self._name, fault="it has no filter", backend=backend)
        name, parameters = parse_filter_reference(first["filter"])
        reader = self._open(name, parameters, backend)
        reader.read(first | {"enabled": "True"}, is_complete=True)
        self._document.add_known(self._name, reader.combined())
        options = self._options(_OPTIONS)
        reader.read(options)
        definition = define(reader, reader.combined(), {key: options[key] for key in FILTER_OPTIONS if key in options})
        actions = Actions(self._document, self._name)
        if actions.protocols == {"udp"} or is_spoofable(self._name):
            definition = msgspec.structs.replace(definition, evidence=UDP)
        shortest = {} if parameters and self._is_default(name, parameters, backend) else parameters
        jail = self._jail(options, backend, definition, actions)
        return msgspec.structs.replace(
            jail,
            reference=format_filter_reference(definition.origin, shortest),
            own_options=self._own_options(self._open(name, parameters, backend), definition),
        )

    def _options(self, names: tuple[str, ...]) -> dict[str, str]:
        found = ((name, self._document.find(self._name, name)) for name in names)
        return {name: value for name, value in found if value is not None}

    def _open(self, name: str, parameters: Mapping[str, str], backend: str) -> FilterReader:
        logtype = "journal" if backend == "journal" else "file"
        return open_filter(self._loader, self._directory, name, parameters, logtype)

    def _is_default(self, name: str, parameters: Mapping[str, str], backend: str) -> bool:
        """Whether the filter is the same without its parameters: `mode=normal` usually changes nothing."""
        try:
            return _plain(self._open(name, {}, backend)) == _plain(self._open(name, parameters, backend))
        except FilterError:
            return False

    def _own_options(self, reader: FilterReader, definition: FilterDefinition) -> tuple[str, ...]:
        """Return the options in which the jail's filter differs from the filter alone."""
        try:
            plain = _plain(reader)
        except FilterError:
            return ("failregex",)
        return tuple(name for name in _EXPRESSIONS if getattr(plain, name) != getattr(definition, name))

    def _jail(self, options: Mapping[str, str], backend: str, definition: FilterDefinition, actions: Actions) -> Jail:
        bantime_s = parse_duration(options.get("bantime", "600"))
        files = () if backend == "journal" else _files(options.get("logpath", ""))
        notes = [*notes_on_options(self._document, self._name), *actions.notes(), *definition.notes]
        if not 0 <= bantime_s <= LONGEST_BAN_S:
            what = "a permanent ban" if bantime_s < 0 else f"bantime {options['bantime'][:40]}"
            notes.append(f"{what} lasts 365 days here, the longest ban; offences after that ban again")
            bantime_s = LONGEST_BAN_S
        if backend == "journal" and not definition.journalmatch:
            notes.append("it has no journalmatch, so the whole journal is read")
        return Jail(
            name=self._name,
            filter=definition,
            fault=_fault(definition, files, backend, actions),
            maxretry=_maxretry(options.get("maxretry", "3")),
            findtime_s=max(1.0, parse_duration(options.get("findtime", "600"))),
            bantime_s=max(1.0, bantime_s),
            files=files,
            ports=actions.ports,
            backend=backend,
            journalmatch=definition.journalmatch,
            skip_if_nologs=is_true(options.get("skip_if_nologs", "")),
            is_recidive=definition.name == "recidive",
            ignoreip=read_ignoreip(options.get("ignoreip", ""), notes.append),
            timezone=options.get("logtimezone", ""),
            notes=tuple(dict.fromkeys(notes)),
        )


def _plain(reader: FilterReader) -> FilterDefinition:
    """Return the definition of a filter without its jail."""
    reader.read()
    return define(reader, reader.combined())


def _backend(text: str) -> str:
    name = text.partition("[")[0].strip().lower()
    if name not in _BACKENDS:
        raise FilterError(f"unknown backend {text[:80]!r} (expected auto, systemd, polling or pyinotify)")
    return _BACKENDS[name]


def _fault(definition: FilterDefinition, files: tuple[str, ...], backend: str, actions: Actions) -> str:
    """Return why a readable jail must not or cannot run; empty if it can."""
    if actions.lets_in:
        return "its action admits addresses, so a ban would block the addresses that it is meant to admit"
    if definition.name == "recidive":
        return "it reads fail2ban's bans; use bans.recidive for ours"
    if backend != "journal" and not files:
        return _NO_LOGPATH
    return ""


def _files(text: str) -> tuple[str, ...]:
    """Return the paths of a logpath, one per line, without a trailing `head` or `tail`."""
    return tuple(dict.fromkeys(_paths(text)))


def _paths(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        path, _, where = line.strip().rpartition(" ")
        path = path.strip() if path and where in ("head", "tail") else line.strip()
        if path:
            yield path


def _maxretry(text: str) -> int:
    if not re.fullmatch("[+-]?[0-9]{1,9}", text):
        raise FilterError(f"maxretry {text[:80]!r} is not a whole number")
    return max(1, int(text))
