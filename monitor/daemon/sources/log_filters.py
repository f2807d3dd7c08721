"""Which logs are read for which detectors: settings, filters and fail2ban's jails to what sources and matcher need.

Pure apart from reading the files of filters and jails, and looking whether logs are there.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from monitor.config.types import parse_timezone
from monitor.daemon.sources.filter_standing import is_installed, with_evidence
from monitor.daemon.sources.jail_sections import jail_section
from monitor.daemon.sources.log_alternatives import (
    Alternatives,
    JournalMatches,
    check_files,
    find_journal,
    is_any_readable,
    is_any_there,
    nothing_there,
    where_to_read,
)
from monitor.detectors.failures import DEFAULT_FAILURES, Backend, FailuresSettings, LineEvidence
from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.evidence import standing_doubt
from monitor.filters.library import load_filter
from monitor.model.bans import AllowEntry, Mode
from monitor.model.errors import ConfigError
from monitor.settings.schema import Settings
from monitor.sources.journal.match import parse_match

if TYPE_CHECKING:
    from monitor.filters.fail2ban.jails import Jail

FROM_FAIL2BAN = "from_fail2ban"
"""The name of what is wrong with fail2ban's configuration as a whole, among the faults of detectors."""
_LOAD_S = 5.0
"""CPU time to read one filter, or all of fail2ban's jails: some thousand files take a second."""
_SHOWN = 3


class LogFilters:
    """What is to be read and how, by detector; one that cannot run is named in `faults`, the others keep working."""

    def __init__(self, settings: Settings, root: Path = Path("/")) -> None:
        """Load all filters; the journal is looked for under `root`."""
        self.sections: dict[str, FailuresSettings] = {}
        """The thresholds of every detector that is switched on, whether its filter is fit or not."""
        self.definitions: dict[str, FilterDefinition] = {}
        self.files: dict[str, tuple[str, ...]] = {}
        """Absolute patterns of glob(7), for those that read files."""
        self.journal: dict[str, JournalMatches] = {}
        """Lines of journalctl(1)'s terms, for those that read the journal; none means all of it."""
        self.timezones: dict[str, datetime.tzinfo] = {}
        """Of dates that name none; where a detector is missing, the system's."""
        self.findtimes_s: dict[str, float] = {}
        """How far back each detector counts."""
        self.alternatives: dict[str, Alternatives] = {}
        """Where to read, for those that can read files or the journal."""
        self.unneeded: set[str] = set()
        """Detectors that nobody configured, of applications that are not installed: a missing log is no problem."""
        self.faults: dict[str, str] = {}
        self.fault_keys: dict[str, str] = {}
        """For those of sections of the configuration: the key that is to be changed."""
        self.foreign: set[str] = set()
        """Of the faulty ones, jails that work in fail2ban and are nothing that can run here."""
        self.jails: dict[str, str] = {}
        """Where each detector that is a jail of fail2ban is configured: `FILE:LINE`."""
        self.files_read: set[Path] = set()
        """The files of filters and jails that all this was read from."""
        self.notes: list[str] = []
        """What operators should know although the filters work, a sentence each."""
        self.allowlist: list[AllowEntry] = []
        """What fail2ban's jails ignore."""
        self.unknown_jails: list[str] = []
        """Names in `from_fail2ban_proven` that are none of a jail."""
        self._loaded: dict[tuple[str, str], FilterDefinition] = {}
        """By reference and kind of log: thousands of detectors may use one filter, which takes 10 ms to read."""
        self._too_slow: set[str] = set()
        self._deadline = Deadline(_LOAD_S)
        self._vouched = settings.detectors.from_fail2ban_proven
        self._reads_journal = settings.sources.journal.enabled
        self._reads_files = settings.sources.files.enabled
        self._root = root
        self._journal = find_journal(root) if self._reads_journal else ""
        self._has_journal = bool(self._journal)
        self._configured = configured = settings.detectors.failures
        with self._deadline.watching():
            jails = self._read_jails(settings.detectors.from_fail2ban)
            taken_over = {jail.name for jail in jails if self._is_ours(jail, configured.get(jail.name))}
            for name, section in configured.items():
                if section.enabled and name not in taken_over:
                    self._add(name, section)
        self._add_jails([jail for jail in jails if jail.name in taken_over])

    def _add(self, name: str, section: FailuresSettings) -> None:
        self._count(name, section)
        if (path := section.filter.partition("[")[0]).startswith("/"):
            self.files_read.update((Path(path), Path(path).with_suffix(".local")))
        key = "filter"
        try:
            definition = self._deadline.call(self._load, section)
            definition = with_evidence(definition, section.evidence)
            where = where_to_read(section, definition, reads_journal=self._reads_journal, reads_files=self._reads_files)
            key = "journalmatch" if where.is_journal_only else "files"
            self._read(name, definition, where, section.timezone)
        except TooSlow:
            self._too_slow.add(section.filter)
            self._fail(name, f"filter {section.filter} takes longer than {_LOAD_S:.0f} s to read", key)
            return
        except (FilterError, ConfigError, ValueError) as error:
            self._fail(name, str(error), key)
            return
        self.notes += [f"filter of {name}: {note}" for note in definition.notes]
        files = self._counting_files(name)
        if definition.evidence.writers and (doubt := standing_doubt(definition.evidence, files)):
            self.notes.append(
                f"{name} only shuns: {doubt}; read the journal, or set detectors.failures.{name}.evidence: proven if "
                "nobody else can write there"
            )
        if self.journal.get(name) == ():
            self.notes.append(f"{name} reads the whole journal: name what it should read in `journalmatch`")
        if section == DEFAULT_FAILURES.get(name) and not is_installed(definition):
            self.unneeded.add(name)

    def _fail(self, name: str, fault: str, key: str) -> None:
        self.faults[name] = fault
        self.fault_keys[name] = key

    def _count(self, name: str, section: FailuresSettings) -> None:
        self.sections[name] = section
        self.findtimes_s[name] = section.longest_findtime_s

    def _load(self, section: FailuresSettings) -> FilterDefinition:
        """Return the filter. Where files or the journal may be read, one of fail2ban's is taken as for files."""
        is_journal = section.backend is Backend.JOURNAL or bool(
            section.journalmatch and not section.files and not section.pods
        )
        if section.filter in self._too_slow:
            raise TooSlow
        reference = section.filter, "journal" if is_journal else "file"
        if reference in self._loaded:
            return self._loaded[reference]
        definition = load_filter(reference[0], logtype=reference[1])
        for line in definition.journalmatch:  # it may be needed later
            try:
                parse_match(line)
            except ConfigError as error:
                raise FilterError(f"{definition.origin}: {error}") from error
        self._loaded[reference] = definition
        return definition

    def _read(self, name: str, definition: FilterDefinition, where: Alternatives, timezone: str) -> None:
        """Have a detector read where it can; ValueError if the zone is wrong."""
        zone = parse_timezone(timezone) if timezone else None
        if where.is_journal_only or where.is_choice:
            self._check_journal(where.matches)
        if not where.is_journal_only:
            check_files(where.files + where.rest, is_read=self._reads_files)
        if where.is_journal_only:
            self.journal[name] = where.matches
        elif where.is_choice:
            self.alternatives[name] = where
            self._choose(name)
        else:
            self.files[name] = where.files
        self.definitions[name] = definition
        if zone:
            self.timezones[name] = zone

    @property
    def digests(self) -> dict[str, str]:
        """What tells by detector whether its filter finds other lines than another one."""
        return {name: one.digest for name, one in self.definitions.items()}

    def look_for_journal(self) -> bool:
        """Follow whether there is a journal; return whether that changed what is read."""
        if self._reads_journal:
            self._journal = find_journal(self._root, self._journal)
        if self._has_journal is bool(self._journal):
            return False
        self._has_journal = bool(self._journal)
        for name in self.alternatives:
            self._choose(name)
        return bool(self.alternatives)

    def _choose(self, name: str) -> None:
        """Say what a detector that can read several logs reads: all that may count, see `log_choice`."""
        where = self.alternatives[name]
        files = where.files_to_read(has_journal=self._has_journal)
        for places, place in ((self.files, files), (self.journal, where.matches if self._has_journal else ())):
            if place:
                places[name] = place  # type: ignore[assignment]
            else:
                places.pop(name, None)

    def has_files(self, name: str) -> bool:
        """Whether a file that counts before the journal can be read; one that cannot is a problem of its source."""
        return name in self.alternatives and is_any_readable(self.alternatives[name].files)

    def missing(self) -> dict[str, str]:
        """Say why detectors find nothing as no log of theirs is there, by detector; looks for files."""
        return {
            name: nothing_there(patterns, is_journal_absent=name in self.alternatives)
            for name, patterns in self.files.items()
            if name not in self.journal and name not in self.unneeded and not is_any_there(patterns)
        }

    def _counting_files(self, name: str) -> tuple[str, ...]:
        """Return the files that count now; none means the journal."""
        if name in self.journal and not self.has_files(name):
            return ()
        return self.files.get(name, ())

    def _check_journal(self, matches: JournalMatches) -> None:
        if not self._reads_journal:
            raise ConfigError("it reads the journal, but sources.journal is off")
        for line in matches:
            parse_match(line)

    def _read_jails(self, directory: str) -> "tuple[Jail, ...]":
        """Return fail2ban's jails that may have a detector here; note what else its configuration says."""
        if not directory:
            return ()
        from monitor.daemon.sources.jail_reading import JailReading

        try:
            reading = self._deadline.call(JailReading, Path(directory))
        except TooSlow:
            self.faults[FROM_FAIL2BAN] = f"{directory} takes longer than {_LOAD_S:.0f} s to read"
            return ()
        except FilterError as error:
            self.faults[FROM_FAIL2BAN] = str(error)
            return ()
        self.files_read.update(reading.files)
        if reading.fault:
            self.faults[FROM_FAIL2BAN] = reading.fault
        self.faults |= reading.misnamed
        self.foreign.update(reading.misnamed)
        self.notes += reading.notes
        self.allowlist += reading.allowlist
        return reading.jails

    def _is_ours(self, jail: "Jail", section: FailuresSettings | None) -> bool:
        """Whether a jail becomes a detector: what is configured here wins, unless it is only the default.

        A mode alone, as of the file that has a new installation observe, makes no section of the operator's own.
        """
        if section is None:
            return True
        default = DEFAULT_FAILURES.get(jail.name)
        is_default = default is not None and msgspec.structs.replace(section, mode=default.mode) == default
        if is_default and not jail.fault and self._has_log(jail):
            return True
        self.notes.append(f"jail {jail.name} is passed over: detectors.failures.{jail.name} is used instead")
        return False

    def _has_log(self, jail: "Jail") -> bool:
        return self._has_journal if jail.backend == "journal" else is_any_there(jail.files)

    def _add_jails(self, jails: "Sequence[Jail]") -> None:
        noted: dict[str, list[str]] = {}
        for jail in jails:
            self._add_jail(jail)
            for note in jail.notes:
                noted.setdefault(note, []).append(jail.name)
        self.notes += [f"jail {_names(names)}: {note}" for note, names in noted.items()]
        unknown = [name for name in self._vouched if name not in {jail.name for jail in jails}]
        self.unknown_jails = unknown
        if unknown:
            self.notes.append(f"from_fail2ban_proven: {_names(unknown)} is no jail that runs here")
        if unvetted := [
            jail.name for jail in jails if jail.name in self.definitions and jail.name not in self._vouched
        ]:
            self.notes.append(
                f"jail {_names(unvetted)} only shuns: fail2ban's filters are not vetted; name jails whose logs nobody "
                "else can write in detectors.from_fail2ban_proven"
            )

    def _add_jail(self, jail: "Jail") -> None:
        name = jail.name
        self.jails[name] = jail.place
        if jail.filter is None or jail.fault:
            self.faults[name] = jail.fault
            if jail.is_foreign:
                self.foreign.add(name)
            return
        configured = self._configured.get(name)
        self._count(name, jail_section(jail, configured.mode if configured else Mode.ENFORCE))
        is_journal = jail.backend == "journal"
        matches, files = (jail.journalmatch, ()) if is_journal else ((), jail.files)
        where = Alternatives(files, matches, (), is_journal_only=is_journal)
        if jail.skip_if_nologs:
            self.unneeded.add(name)
        evidence = LineEvidence.PROVEN if name in self._vouched else LineEvidence.AUTO
        try:
            self._read(name, with_evidence(jail.filter, evidence), where, jail.timezone)
        except (ConfigError, ValueError) as error:
            self.faults[name] = str(error)


def _names(names: Sequence[str]) -> str:
    """Name a few; what is said of one jail is mostly said of all."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
