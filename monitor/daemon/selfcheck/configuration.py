"""Everything that will run, tried out: what the configuration refers to by name or path is there and can be used.

Reading the files (`monitor.settings.load`) finds what is wrong in them. This finds what is wrong with what they name.
A *fault* stays until somebody corrects it: `config check` exits with 2, and a reload keeps what is in force. A
*warning* can end without that: a log that is not written yet, an interface that comes up later.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from monitor.bans.breadth import breadth
from monitor.config.faults import Fault, InvalidConfigError, Origin
from monitor.config.kinds import near
from monitor.daemon.pipeline.wiring import wanted
from monitor.daemon.selfcheck.notify_files import notify_findings
from monitor.daemon.selfcheck.references import Finding, file_findings, name_findings
from monitor.daemon.sources.feeds import unfed
from monitor.daemon.sources.log_filters import FROM_FAIL2BAN, LogFilters
from monitor.filters.definition import FilterDefinition
from monitor.filters.library import BUILT_IN
from monitor.filters.matcher import LogMatcher
from monitor.model.errors import ConfigError
from monitor.settings.load import Loaded, load
from monitor.settings.schema import Settings
from monitor.sources.journal.match import parse_match

_NONE: Mapping[Path, bytes] = MappingProxyType({})


class Examined(msgspec.Struct, frozen=True):
    """What was found, each in the order of files and lines, and the filters that were loaded for it."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    filters: LogFilters


def examine(loaded: Loaded, root: Path = Path("/")) -> Examined:
    """Try out everything that the configuration names; changes nothing and needs no daemon.

    Takes a bounded time: 5 s of CPU time to read each filter, 15 s to compile all of them, in the main thread.
    """
    settings = loaded.settings
    filters = LogFilters(settings, root)
    found = [*_filter_findings(loaded, filters), *_allowlist_findings(loaded, filters)]
    found += file_findings(settings, filters, root)
    found += name_findings(settings, root)
    found += _fleet_findings(settings, root)
    found += notify_findings(settings.notify, root)
    found += [Finding("", text, is_warning=True) for text in unfed(wanted(settings), settings)]
    placed = [(one, _placed(loaded, one)) for one in found]
    rank = {file: number for number, file in enumerate(loaded.files)}
    placed.sort(key=lambda pair: (rank.get(pair[1].file, len(rank)), pair[1].line, pair[1].column))
    return Examined(
        tuple(fault for one, fault in placed if not one.is_warning),
        tuple(fault for one, fault in placed if one.is_warning),
        filters,
    )


def load_examined(
    path: Path, root: Path = Path("/"), standing: Mapping[Path, bytes] = _NONE
) -> tuple[Loaded, Examined]:
    """Load the configuration, with the contents that stand for files, and try it out.

    InvalidConfigError with all faults, TemporaryError if the system cannot read it now.
    """
    loaded = load(path, standing)
    examined = examine(loaded, root)
    if examined.faults:
        raise InvalidConfigError(examined.faults, loaded.files)
    return loaded, examined


def _fleet_findings(settings: Settings, root: Path) -> Iterator[Finding]:
    """Yield what is wrong with the files of a fleet, if there is one: what reads certificates needs OpenSSL."""
    if settings.fleet.url:
        from monitor.daemon.selfcheck.fleet_files import fleet_findings

        yield from fleet_findings(settings.fleet, root)


def _placed(loaded: Loaded, finding: Finding) -> Fault:
    """Return a finding with file and line: those of the entry, else of the value, else of the section's filter."""
    path, _, index = finding.path.partition("[")
    origin = loaded.origins.get(path, Origin())
    if index and int(index.rstrip("]")) < len(origin.entries):
        origin = origin.entries[int(index.rstrip("]"))]
    if origin.file is None:  # only the default: the place is that of what made it matter
        origin = loaded.origins.get(f"{path.rpartition('.')[0]}.filter", Origin())
    file = origin.file or loaded.files[0]
    return Fault(file, origin.line, origin.column, finding.path, finding.text)


def _filter_findings(loaded: Loaded, filters: LogFilters) -> Iterator[Finding]:
    """Yield what is wrong with filters, logs and jails; all filters are compiled."""
    settings = loaded.settings
    compiled = LogMatcher(filters.definitions, timezones=filters.timezones) if filters.definitions else None
    for name, text in {**filters.faults, **(compiled.faults if compiled else {})}.items():
        if name == FROM_FAIL2BAN:
            yield Finding("detectors.from_fail2ban", text)
        elif name in filters.jails or name not in settings.detectors.failures:
            yield Finding("detectors.from_fail2ban", f"jail {name}: {text}", is_warning=name in filters.foreign)
        else:
            yield Finding(f"detectors.failures.{name}.{filters.fault_keys.get(name, 'filter')}", text)
    for name, definition in filters.definitions.items():
        yield from _definition_findings(name, definition, filters)
    proven = settings.detectors.from_fail2ban_proven
    for name in filters.unknown_jails:
        text = f"{name} is no jail that runs here"
        if not settings.detectors.from_fail2ban:
            text += ": detectors.from_fail2ban is not set"
        elif name in settings.detectors.failures:
            text += f": detectors.failures.{name} takes precedence, set its `evidence: proven` instead"
        elif meant := near(name, sorted(filters.jails)):
            text += f"; did you mean {meant}?"
        yield Finding(f"detectors.from_fail2ban_proven[{proven.index(name)}]", text)


def _definition_findings(name: str, definition: FilterDefinition, filters: LogFilters) -> Iterator[Finding]:
    """Yield what is wrong with the journal match of a filter, also where files are read, and with its accounts."""
    path = "detectors.from_fail2ban" if name in filters.jails else f"detectors.failures.{name}.filter"
    try:
        for line in definition.journalmatch:
            parse_match(line)
    except ConfigError as error:
        yield Finding(path, f"{definition.origin}: {error}")
    writers = definition.evidence.writers
    if writers and not writers.uids and not definition.origin.startswith(f"{BUILT_IN}/"):
        text = f"{definition.origin}: there is no account {' nor '.join(writers.accounts)}: its lines prove nothing"
        yield Finding(path, text, is_warning=True)


def _allowlist_findings(loaded: Loaded, filters: LogFilters) -> Iterator[Finding]:
    """Yield a fault where the allowlist takes in so much that next to nothing can be banned."""
    networks = loaded.settings.bans.allowlist
    if text := breadth(networks).problem:
        widest = min(range(len(networks)), key=lambda number: networks[number].prefix_length)
        yield Finding(f"bans.allowlist[{widest}]", text)
    if text := breadth([entry.network for entry in filters.allowlist]).problem:
        yield Finding("detectors.from_fail2ban", f"ignoreip: {text}")
