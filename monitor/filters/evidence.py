"""Decides whether lines prove who failed: the filter was vetted, and nobody but its application can have written them.

Pure. What a client or another account could have written only shuns; every fact that is missing counts as a doubt.
"""

import fnmatch
import functools

import msgspec

from monitor.model.writers import FileWriter, Grant, Holder, JournalWriter, Writer, ordinary_reason

NOT_VETTED = "its format is not vetted"
_TRANSPORTS = frozenset(("syslog", "journal", "stdout"))
_MAX_REMEMBERED = 1024


class Writers(msgspec.Struct, frozen=True):
    """The application that a vetted filter belongs to: the only one whose lines prove anything."""

    units: frozenset[str] = frozenset()
    """Its system units; `ssh@.service` stands for all instances."""
    executables: frozenset[str] = frozenset()
    accounts: tuple[str, ...] = ()
    """The accounts that it runs as, root or its own; those that run programs of others are none."""
    uids: frozenset[int] = frozenset()
    """The ids of these accounts on this machine."""
    log_daemon: frozenset[tuple[Holder, int]] = frozenset()
    """The account and group of the syslog daemon: on some systems it may rename what is in /var/log."""
    direct_files: tuple[str, ...] = ()
    """Patterns of files that only the application writes, not a syslog daemon."""


class EvidenceRule(msgspec.Struct, frozen=True):
    """When the lines of a filter prove something; by default never."""

    writers: Writers | None = None
    """Whose lines prove; None: nobody's."""
    doubt: str = NOT_VETTED
    """Why no line proves anything, where that is so."""
    is_vouched: bool = False
    """Whether the operator vouches for format and feed: then only ordinary accounts are doubted."""


def doubt(rule: EvidenceRule, writer: Writer | None, *, is_cut: bool = False) -> str:
    """Return why lines of this writer prove nothing; empty: they prove who failed."""
    if is_cut:
        return "the line was cut"
    return _doubt(rule, writer)


def standing_doubt(rule: EvidenceRule, patterns: tuple[str, ...]) -> str:
    """Return why no line of this rule's log can prove anything, before any was read; empty: some can.

    `patterns` are the files that are read; none means the journal.
    """
    if rule.is_vouched:
        return ""
    if rule.writers is None:
        return rule.doubt
    if not patterns:
        return "" if rule.writers.units else "what the application writes to the journal proves nothing"
    indirect = [pattern for pattern in patterns if not _is_listed(pattern, rule.writers.direct_files)]
    return _indirect_doubt(indirect[0]) if len(indirect) == len(patterns) else ""


@functools.lru_cache(maxsize=_MAX_REMEMBERED)
def _doubt(rule: EvidenceRule, writer: Writer | None) -> str:
    if rule.is_vouched:
        return ordinary_reason(writer)
    if rule.writers is None:
        return rule.doubt
    if writer is None:
        return "who wrote it is not known"
    if isinstance(writer, FileWriter):
        return _file_doubt(rule.writers, writer)
    return _entry_doubt(rule.writers, writer)


def _file_doubt(writers: Writers, writer: FileWriter) -> str:
    """Return why a file may hold what others wrote."""
    if writer.fault:
        return writer.fault
    if not _is_listed(writer.path, writers.direct_files):
        return _indirect_doubt(writer.path)
    if not _is_listed(writer.real_path, writers.direct_files):
        return f"{writer.path} leads to {writer.real_path}, which others may write"
    return next((str(grant) for grant in writer.grants if not _is_expected(writers, grant)), "")


def _is_expected(writers: Writers, grant: Grant) -> bool:
    """Whether a permission belongs to the application itself, or only lets the syslog daemon rename files."""
    if grant.holder is Holder.ACCOUNT and grant.number in writers.uids:
        return True
    return not grant.is_direct and (grant.holder, grant.number) in writers.log_daemon


def _entry_doubt(writers: Writers, writer: JournalWriter) -> str:
    """Return why somebody else can have written an entry."""
    if not writers.units:
        return "what the application writes to the journal proves nothing"
    if not writer.is_local:
        return "it is from another machine"
    if writer.is_contained:
        return "a container wrote it"
    if writer.transport not in _TRANSPORTS:
        return f"it came by {writer.transport or 'an unknown transport'}"
    if writer.unit not in writers.units:
        return f"{writer.unit or 'an unknown unit'} wrote it"
    if writer.executable not in writers.executables:
        return f"{writer.executable or 'an unknown program'} wrote it"
    if writer.uid not in writers.uids:
        return "an unknown account wrote it" if writer.uid is None else f"account {writer.uid} wrote it"
    return ""


def _is_listed(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or every path of a pattern, matches one of the patterns; `*` stays within one directory."""
    return any(path.count("/") == one.count("/") and fnmatch.fnmatchcase(path, one) for one in patterns)


def _indirect_doubt(path: str) -> str:
    return f"{path} is no file that only the application writes"
