"""Finds and reads filters: built-in ones, the operator's, and fail2ban's."""

import enum
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from monitor.config.kinds import near
from monitor.files.regular import read_regular
from monitor.filters.accounts import SHARED_ACCOUNTS, account_uid, log_daemon
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.evidence import NOT_VETTED, EvidenceRule, Writers
from monitor.filters.fail2ban.notation import parse_filter_reference
from monitor.filters.places import place_of_key

BUILT_IN = Path(__file__).parent / "builtin"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAX_FILE_BYTES = 1 << 20
_SYSLOG = r"^(?>\s*)<F-MLFID>(?:\S+ )?(?:{daemon})(?:\[\d+\])?:?</F-MLFID>\s+<F-CONTENT>.+</F-CONTENT>$"
"""The start of a message in syslog and the journal, without the date: `HOST DAEMON[PID]: `."""


class FilterEvidence(enum.StrEnum):
    """What the lines of a filter can prove."""

    PROVEN = "proven"
    SPOOFABLE = "spoofable"


class WritersSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The application that writes the lines: every entry of the journal must come from one of each of these."""

    units: tuple[str, ...] = ()
    executables: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()


class FilterMode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The expressions that one mode adds to those of the filter."""

    failregex: tuple[str, ...] = ()
    ignoreregex: tuple[str, ...] = ()


class FilterFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter in YAML; keys that fail2ban has as well mean the same as there."""

    description: str
    failregex: tuple[str, ...] = ()
    ignoreregex: tuple[str, ...] = ()
    prefregex: str = ""
    daemon: str = ""
    """Instead of prefregex: an expression for the name of the application in syslog or the journal."""
    modes: dict[str, FilterMode] = {}
    """Selected by `NAME[mode=...]`; the first is the default."""
    datepattern: str = ""
    maxlines: int = 1
    journalmatch: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    evidence: FilterEvidence = FilterEvidence.SPOOFABLE
    doubt: str = ""
    """Why the lines prove nothing, in a few words; for `evidence: spoofable`."""
    writers: WritersSection = WritersSection()
    """Who writes the lines that prove; for `evidence: proven`."""
    direct_files: tuple[str, ...] = ()
    """Patterns of files that only the application writes; for `evidence: proven`."""


def load_filter(reference: str, *, logtype: str = "file") -> FilterDefinition:
    """Read the filter that a reference names; FilterError names the file and the fault.

    A reference is the name of a built-in filter, or the absolute path of a filter (`*.yaml`) or of a filter of fail2ban
    (`/etc/fail2ban/filter.d/NAME.conf`); parameters may follow in brackets: `sshd[mode=aggressive]`.
    `logtype` is `file` or `journal`, for fail2ban's filters.
    """
    name, parameters = parse_filter_reference(reference)
    if not name.startswith("/"):
        path = BUILT_IN / f"{name}.yaml"
        if not _NAME.fullmatch(name) or not path.is_file():
            known = built_in_names()
            meant = near(name, known)
            hint = f"did you mean {meant}? The" if meant else "the"
            raise FilterError(f"there is no filter {name!r}; {hint} built-in filters are: {', '.join(known)}")
        return _load_yaml(path, name, parameters)
    path = Path(name)
    if path.suffix == ".yaml":
        return _load_yaml(path, path.stem, parameters)
    if path.suffix == ".conf" and path.parent.name == "filter.d":
        from monitor.filters.fail2ban.filters import read_filter  # most have none of fail2ban's

        return read_filter(path.parent.parent, path.stem, parameters, logtype=logtype)
    raise FilterError(f"{name} is neither a *.yaml file nor a filter.d/*.conf of fail2ban")


def built_in_names() -> list[str]:
    """Return the names of the built-in filters."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml") if not path.stem.endswith(".samples"))


def read_filter_file(path: Path) -> FilterFile:
    """Read the YAML of one filter; FilterError names the file, and the line if it is known."""
    try:
        data = read_regular(path, _MAX_FILE_BYTES)
    except OSError as error:
        raise FilterError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:  # an embedded NUL
        raise FilterError(f"{str(path)!r} is not a file name") from None
    if len(data) > _MAX_FILE_BYTES:
        raise FilterError(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    try:
        content = yaml.safe_load(data)
        if content is None:
            raise FilterError(f"{path} is empty: a filter has at least description and failregex")
        return msgspec.convert(content, FilterFile)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise FilterError(f"{place} is not YAML: {_one_line(error.problem or error)}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, LookupError, AttributeError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise FilterError(f"{place_of_key(path, str(error))}: {error}") from error
        raise FilterError(f"{path} is not YAML: {_one_line(error)}") from error


def _load_yaml(path: Path, name: str, parameters: dict[str, str]) -> FilterDefinition:
    content = read_filter_file(path)
    mode = _mode(path, content, dict(parameters))
    if content.daemon and content.prefregex:
        raise FilterError(f"{path}: set daemon or prefregex, not both")
    if content.maxlines < 1 or content.maxlines > 100:
        raise FilterError(f"{path}: maxlines must be between 1 and 100")
    return FilterDefinition(
        name=name,
        failregex=content.failregex + mode.failregex,
        ignoreregex=content.ignoreregex + mode.ignoreregex,
        prefregex=_SYSLOG.replace("{daemon}", content.daemon) if content.daemon else content.prefregex,
        maxlines=content.maxlines,
        datepattern=content.datepattern,
        journalmatch=tuple(tuple(match.split()) for match in content.journalmatch),
        files=content.files,
        evidence=_evidence(path, content),
        origin=str(path),
    )


def _mode(path: Path, content: FilterFile, parameters: dict[str, str]) -> FilterMode:
    """Return the selected mode; a filter without modes takes no parameters."""
    wanted = parameters.pop("mode", next(iter(content.modes), ""))
    if parameters:
        raise FilterError(f"{path}: unknown parameter {next(iter(parameters))!r}; the only parameter is `mode`")
    if wanted and wanted not in content.modes:
        known = ", ".join(content.modes) or "none"
        raise FilterError(f"{path}: there is no mode {wanted!r}; known: {known}")
    return content.modes.get(wanted, FilterMode())


def _evidence(path: Path, content: FilterFile) -> EvidenceRule:
    """Return what the file says of its evidence; FilterError where that is contradictory or incomplete."""
    section = content.writers
    if content.evidence is FilterEvidence.SPOOFABLE:
        if section != WritersSection() or content.direct_files:
            raise FilterError(f"{path}: writers and direct_files need `evidence: proven`")
        return EvidenceRule(doubt=content.doubt or NOT_VETTED)
    if content.doubt:
        raise FilterError(f"{path}: doubt needs `evidence: spoofable`")
    if not section.accounts or bool(section.units) != bool(section.executables):
        raise FilterError(f"{path}: `evidence: proven` needs writers.accounts, and both units and executables or none")
    if not section.units and not content.direct_files:
        raise FilterError(f"{path}: `evidence: proven` needs writers.units with executables, or direct_files")
    if shared := sorted(SHARED_ACCOUNTS.intersection(section.accounts)):
        raise FilterError(f"{path}: account {shared[0]} runs programs of others: what it writes proves nothing")
    return EvidenceRule(
        Writers(
            units=frozenset(section.units),
            executables=frozenset(section.executables),
            accounts=section.accounts,
            uids=frozenset(uid for name in section.accounts if (uid := account_uid(name)) is not None),
            log_daemon=log_daemon(),
            direct_files=content.direct_files,
        ),
        doubt="",
    )


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:300]
