"""What the journal requires: that its files may be read."""

import msgspec

from monitor.files.attempts import why_not
from monitor.model.requirements import RESTART, Part, PartKind, Privileges, Requirement
from monitor.sources.journal.files import check_access
from monitor.sources.journal.reader import Journal
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.log_scanner import LogTargets


class JournalFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    journal: str
    """Why it cannot be read; empty if it can, or no detector reads it."""

    def parts(self, settings: JournalSettings, privileges: Privileges) -> list[Part]:
        """Return the journal as a part."""
        repair = f"usermod --append --groups systemd-journal {privileges.account} && {RESTART}"
        requirement = Requirement("the journal's files", self.journal, repair)
        return [Part(Journal.name, PartKind.SOURCE, settings.enabled, [requirement])]


def probe(_settings: JournalSettings, targets: LogTargets) -> JournalFindings:
    """Check whether its files may be read, if a detector reads them."""
    return JournalFindings(why_not(lambda: check_access(None)) if targets.journal else "")
