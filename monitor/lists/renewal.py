"""Renews the copy of one list: fetch, read, judge, write. Whatever fails, the last good copy stays as it was."""

import enum
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.lists.content import lines, plain
from monitor.lists.faults import ListCause, ListFault
from monitor.lists.fetch import LIMITS, NOTHING_KNOWN, FetchLimits, IsInner, Validators, fetch
from monitor.lists.file import ListCopy, ListFileError, ListHeader, list_path, read_list, write_list
from monitor.lists.formats import line_reader
from monitor.lists.judgement import Extent, check_extent
from monitor.lists.never import Never, NeverEntry, built_in
from monitor.lists.reading import Reading, read
from monitor.lists.settings import ListSettings
from monitor.lists.state import ListState, read_state, state_path, write_state
from monitor.lists.urls import is_special, source_of
from monitor.model.errors import explain

_FILE_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 16


class Step(enum.StrEnum):
    """What became of a list."""

    RENEWED = "renewed"
    UNCHANGED = "unchanged"
    """The source has nothing newer: the copy is good for longer."""
    NOT_DUE = "not due"
    FAILED = "failed"


class NodeView(NamedTuple):
    """What the renewal must know of the node."""

    never: tuple[NeverEntry, ...] = ()
    """What must not be banned, in addition to what is built in."""
    is_inner: IsInner = is_special
    """Whether an address is one that no redirect may lead to."""


class Source(NamedTuple):
    """What a source has: None instead of a reading if nothing is newer than `validators` said."""

    reading: Reading | None
    validators: Validators


class Renewal:
    """Renews lists below a state directory."""

    def __init__(self, state: Path, around: NodeView, limits: FetchLimits = LIMITS) -> None:
        self._state = state
        self._around = around
        self._never_entries = (*built_in(), *around.never)
        self._never = Never(self._never_entries)
        self._limits = limits

    def renew(self, name: str, settings: ListSettings, now_s: float, *, accept: bool = False) -> tuple[Step, ListState]:
        """Renew a list if it is due at `now_s`, wall time; OSError if the result cannot be written.

        `accept` asks at once, and believes an update of unlikely size.
        """
        path = state_path(self._state, name)
        state = read_state(path)
        origin, policy = self._digests(settings)
        if state.origin != origin:
            state = ListState()
        state.name, state.source = name, source_of(settings.url) if settings.url else settings.file
        is_same = state.policy == policy
        due_s = state.due_s(settings.every_s) if settings.url else 0.0
        if not accept and is_same and state.checked_s <= now_s < due_s:
            return Step.NOT_DUE, state
        state.origin, state.policy, state.checked_s = origin, policy, now_s
        copy = self._last_copy(name)
        is_ours = copy is not None and bool(state.fetched_s)
        known = Validators(state.etag, state.last_modified) if is_ours and is_same else NOTHING_KNOWN
        try:
            source = self.read(settings, known)
            if source.reading is not None:
                before = Extent(state.account.taken, state.account.share4, state.account.share6) if is_ours else None
                if not accept:
                    check_extent(before, extent_of(source.reading))
        except ListFault as fault:
            return self._failed(path, state, fault, now_s)
        step = self._write(name, settings, source, copy, state, now_s)
        write_state(path, state)
        return step, state

    def read(self, settings: ListSettings, known: Validators = NOTHING_KNOWN) -> Source:
        """Fetch and read a list, and judge it line by line; nothing is written. ListFault says why there is none."""
        if settings.file:
            return self._read_file(Path(settings.file), settings, known)
        with fetch(settings.url, known, self._around.is_inner, self._limits) as fetched:
            if not fetched.is_modified:
                return Source(None, fetched.validators)
            content = lines(plain(plain(fetched.chunks)), is_complete=fetched.is_complete)
            return Source(self._read_lines(content, settings), fetched.validators)

    def _read_lines(self, content: Iterable[str], settings: ListSettings) -> Reading:
        reader = line_reader(settings.format, settings.column)
        return read(content, reader, self._never, limit=settings.max, wider=settings.wider)

    def _read_file(self, path: Path, settings: ListSettings, known: Validators) -> Source:
        """Read a file that somebody else keeps; its time and size stand for its version."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise ListFault(ListCause.FILE, f"{path} is not a regular file")
                version = Validators(_version_of(before))
                if any(known) and known == version:
                    return Source(None, known)
                reading = self._read_lines(lines(plain(_bounded(iter(lambda: file.read(_CHUNK_BYTES), b"")))), settings)
                if _version_of(os.fstat(descriptor)) != version.etag:
                    raise ListFault(ListCause.TRUNCATED, f"{path} was written to while it was read")
                return Source(reading, version)
        except (OSError, ValueError) as error:
            raise ListFault(ListCause.FILE, f"cannot read {path}: {explain(error)}") from error

    def _last_copy(self, name: str) -> ListCopy | None:
        try:
            return read_list(list_path(self._state, name))
        except (OSError, ListFileError):
            return None

    def _failed(self, path: Path, state: ListState, fault: ListFault, now_s: float) -> tuple[Step, ListState]:
        if not state.failures:
            state.fault_since_s = now_s
        state.failures += 1
        state.fault, state.cause = str(fault)[:1000], fault.cause
        write_state(path, state)
        return Step.FAILED, state

    def _write(
        self, name: str, settings: ListSettings, source: Source, copy: ListCopy | None, state: ListState, now_s: float
    ) -> Step:
        """Write the copy; one that is only renewed gets new times."""
        if source.reading is not None:
            networks, state.account = source.reading
        elif copy is not None:
            networks = copy.networks
        else:  # nothing was known, so no source can say that nothing is newer
            raise AssertionError(name)
        digest = networks.digest()
        step = Step.UNCHANGED if copy is not None and copy.header.digest == digest else Step.RENEWED
        header = ListHeader(
            name=name,
            fetched_s=now_s,
            expires_s=now_s + settings.lifetime_s,
            source=state.source[:512],
            licence=state.account.licence[:512],
            lines=state.account.lines,
            digest=digest,
            entries4=len(networks.v4_lengths),
            entries6=len(networks.v6_lengths),
        )
        write_list(list_path(self._state, name), ListCopy(header, networks))
        state.etag, state.last_modified = source.validators
        state.fetched_s, state.failures = now_s, 0
        state.fault = state.cause = ""
        state.fault_since_s = 0.0
        return step

    def _digests(self, settings: ListSettings) -> tuple[str, str]:
        """Return the digests of what the content depends on, and of what is taken of it."""
        origin = (settings.url, settings.file, str(settings.format), settings.column)
        never = sorted(f"{network} {reason}" for network, reason in self._never_entries)
        policy = (*origin, settings.max, list(map(str, settings.wider)), never)
        return _digest(origin), _digest(policy)


def extent_of(reading: Reading) -> Extent:
    """Return how large a list is."""
    return Extent(reading.account.taken, reading.account.share4, reading.account.share6)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def _version_of(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _FILE_BYTES:
            raise ListFault(ListCause.TOO_LARGE, f"it has more than {_FILE_BYTES >> 20} MiB")
        yield chunk
