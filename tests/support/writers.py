"""Writers of log lines for tests: the application itself, and others."""

from pathlib import Path

import msgspec

from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import EvidenceRule
from monitor.model.writers import FileWriter, JournalWriter, Writer

MACHINE_ID = Path("/etc/machine-id").read_text().strip()
VOUCHED = EvidenceRule(doubt="", is_vouched=True)
OWN_UID = 207
"""The id of accounts that belong to one application, which are not on this machine."""
SSHD = JournalWriter("syslog", "ssh.service", "/usr/sbin/sshd", 0, is_local=True)


def installed(definition: FilterDefinition) -> FilterDefinition:
    """Return a filter as on a machine where its application, and so the accounts of it, are installed."""
    writers = definition.evidence.writers
    if writers is None:
        return definition
    uids = frozenset(0 if name == "root" else OWN_UID for name in writers.accounts)
    rule = msgspec.structs.replace(definition.evidence, writers=msgspec.structs.replace(writers, uids=uids))
    return msgspec.structs.replace(definition, evidence=rule)


def genuine(definition: FilterDefinition) -> list[Writer]:
    """Return each kind of writer whose lines prove something: journal entries of the application, its own files."""
    writers = definition.evidence.writers
    if writers is None:
        return []
    entries: list[Writer] = [
        JournalWriter("syslog", unit, executable, uid, is_local=True)
        for unit in sorted(writers.units)
        for executable in sorted(writers.executables)
        for uid in sorted(writers.uids)
    ]
    paths = [pattern.replace("*", "") for pattern in writers.direct_files]
    return [*entries, *(FileWriter(path, path) for path in paths)]
