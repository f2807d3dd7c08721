"""Settings as a recording has them: plain data in the notation of the configuration, and back."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from monitor.config.build import build
from monitor.config.document import parse
from monitor.config.faults import Fault, InvalidConfigError
from monitor.config.reader import Branch, Reader
from monitor.config.shapes import Section, group_of, plain
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.failures import FailuresSettings
from monitor.model.bans import AllowEntry, Offence
from monitor.recording.inputs import Configured
from monitor.settings.schema import Settings

_WHERE = Path("recording")
_encode = msgspec.json.Encoder(order="sorted").encode


def configured(settings: Settings, filters: LogFilters, now_s: float, offences: Iterable[Offence] = ()) -> Configured:
    """Return a configuration as an input; `offences` are what was counted of the history because of it."""
    document = plain(group_of(Settings), settings)
    sections = {name: plain(group_of(FailuresSettings), section) for name, section in filters.sections.items()}
    digest = hashlib.sha256(_encode([document, sections])).hexdigest()[:16]
    allowed = list(filters.allowlist)
    return Configured(now_s, document, digest, sections, allowed, list(offences), filters=filters.digests)


def read_settings(one: Configured) -> Settings:
    """Return the settings of a recording; ConfigError says what of them this version does not know."""
    settings: Settings = _read(Settings, one.document)
    return settings


class RecordedFilters(LogFilters):
    """What the pipeline needs of log filters, as a recording has it: no file of the node that recorded is here."""

    def __init__(
        self,
        sections: Mapping[str, FailuresSettings],
        allowlist: Iterable[AllowEntry],
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Take the sections of detectors that watch logs, what jails of fail2ban ignore, and digests of the filters."""
        self._digests = dict(digests or {})
        self.sections = dict(sections)
        self.allowlist = list(allowlist)
        self.definitions = {}
        self.faults = {}
        self.files_read = set()

    @property
    def digests(self) -> dict[str, str]:
        """What tells by detector whether its filter is another one."""
        return self._digests


def read_filters(one: Configured) -> RecordedFilters:
    """Return what the pipeline needs of log filters; raises what `read_settings` does."""
    sections = {name: _read(FailuresSettings, it) for name, it in one.sections.items()}
    return RecordedFilters(sections, one.allowed, one.filters)


def _read(struct: type[Section], document: dict[str, Any]) -> Any:
    node = parse(_WHERE, msgspec.json.encode(document))
    faults: list[Fault] = []
    shape = group_of(struct)
    tree = None
    if node is not None:
        reader = Reader(_WHERE)
        tree = reader.read(node, shape)
        faults += reader.faults
    if isinstance(tree, Branch) and not faults:
        section, _, faults = build(shape, tree, frozenset())
        if not faults:
            return section
    raise InvalidConfigError(faults or [Fault(_WHERE, 0, 0, "", "no configuration")], (_WHERE,))
