"""The settings: what can be configured, with units, ranges and defaults.

Attribute names end in their unit (`findtime_s`); the YAML keys are fail2ban's words where fail2ban has one.
To add a setting, add a field to its section: reading, merging, messages, reference and JSON Schema follow from it.
The sections of detectors are in their own modules (`monitor.detectors`).
"""

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from monitor.audit.settings import AuditSettings
from monitor.config.kinds import GROUP, OPTIONAL_PATH, SOCKET_PATH, duration, integer, path
from monitor.config.shapes import Conflict, Section
from monitor.config.types import Endpoint
from monitor.crowdsec.settings import CrowdsecSettings
from monitor.fleet.settings import FleetSettings
from monitor.lists.settings import LIST_NAMES, MAX_LISTS, ListSettings
from monitor.model.bans import Mode
from monitor.notify.settings import NotifySettings
from monitor.recording.settings import RecordingSettings
from monitor.settings.bans import Bans
from monitor.settings.detectors import Detectors
from monitor.settings.places import DEFAULT_SOCKET
from monitor.sources.conntrack.settings import ConntrackSettings
from monitor.sources.drops.settings import DropsSettings
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.kmsg.settings import KernelLogSettings
from monitor.sources.tail.settings import FilesSettings


class Level(enum.StrEnum):
    """The lowest severity that the daemon logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """How the daemon writes its log; all but `journal` are lines on standard error."""

    JOURNAL = "journal"
    LOGFMT = "logfmt"
    JSON = "json"
    TEXT = "text"


class SourcesSettings(Section, frozen=True, kw_only=True):
    """What the daemon reads: a key for each source, whose section is in the source's folder."""

    kernel_log: Annotated[
        KernelLogSettings, Meta(description="Packets that firewall rules write to the kernel log.")
    ] = KernelLogSettings()
    conntrack: Annotated[ConntrackSettings, Meta(description="Connections that the kernel tracks.")] = (
        ConntrackSettings()
    )
    drops: Annotated[DropsSettings, Meta(description="Packets that the kernel drops, and why.")] = DropsSettings()
    journal: Annotated[JournalSettings, Meta(description="Application logs in the systemd journal.")] = (
        JournalSettings()
    )
    files: Annotated[FilesSettings, Meta(description="Application logs in files.")] = FilesSettings()


class Metrics(Section, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    enabled: Annotated[bool, Meta(description="Serve metrics for Prometheus at `/metrics`.")] = True
    listen: Annotated[
        Endpoint, Meta(description="Address and port of the endpoint; `0.0.0.0` and `[::]` mean all addresses.")
    ] = Endpoint("127.0.0.1", 9843)
    web_config_file: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="Web configuration file of the Prometheus exporter toolkit (TLS, basic authentication); "
            "changes are followed. Empty: neither."
        ),
    ] = ""


class Control(Section, frozen=True, kw_only=True):
    """The control socket of the command line."""

    socket: Annotated[Path, SOCKET_PATH, Meta(description="Path of the Unix socket for the command line.")] = (
        DEFAULT_SOCKET
    )
    group: Annotated[
        str, GROUP, Meta(description="Group whose members may use the socket, and thus ban and unban.")
    ] = "nodewarden"


class State(Section, frozen=True, kw_only=True):
    """State that is kept across restarts."""

    directory: Annotated[
        Path, path(), Meta(description="Directory of the database with bans, history and cursors.")
    ] = Path("/var/lib/nodewarden")
    history_age_s: Annotated[
        float,
        duration("1h", "3650d"),
        Meta(
            description="How long the history is kept. Escalation and `recidive` count what is in it, of at most the "
            "last 4 weeks."
        ),
    ] = field(default=30 * 86400.0, name="history_age")
    history_rows: Annotated[
        int,
        integer(1000, 2_000_000),
        Meta(
            description="Maximum number of entries in the history: the bound on disk space, about 0.7 kB each, twice. "
            "The oldest that rest on evidence that anyone can forge are removed first. One detector adds at most a "
            "fiftieth of this in an hour, plus its bans; beyond it alerts are only counted."
        ),
    ] = 100_000


class Log(Section, frozen=True, kw_only=True):
    """The log of the daemon."""

    level: Annotated[Level, Meta(description="Lowest severity that is logged.")] = Level.INFO
    format: Annotated[
        LogFormat,
        Meta(
            description="`journal`: readable lines, in the systemd journal with fields; on standard error without. "
            "`logfmt` and `json`: one line each on standard error, with the same fields, for collectors of logs. "
            "`text`: readable lines on standard error."
        ),
    ] = LogFormat.JOURNAL


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    mode: Annotated[
        Mode,
        Meta(
            description="`observe`: no detector bans, whatever its own mode; what would have been banned is recorded. "
            "`enforce`: the mode of each detector applies. Bans by hand are in force in any case."
        ),
    ] = Mode.ENFORCE
    sources: Annotated[SourcesSettings, Meta(description="Sources of evidence.")] = SourcesSettings()
    detectors: Annotated[
        Detectors, Meta(description="Detectors, configured in fail2ban's terms: `findtime`, `maxretry`, `bantime`.")
    ] = Detectors()
    bans: Annotated[Bans, Meta(description="From alerts to bans.")] = Bans()
    metrics: Annotated[Metrics, Meta(description="The endpoint for Prometheus.")] = Metrics()
    control: Annotated[Control, Meta(description="The control socket of the command line.")] = Control()
    state: Annotated[State, Meta(description="State that is kept across restarts.")] = State()
    recording: Annotated[
        RecordingSettings, Meta(description="The recording of what decisions follow from, for `nodewarden record`.")
    ] = RecordingSettings()
    fleet: Annotated[FleetSettings, Meta(description="Bans shared with other nodes.")] = FleetSettings()
    lists: Annotated[
        dict[str, ListSettings],
        LIST_NAMES,
        Meta(description="Block lists from elsewhere, which `nodewarden-lists.timer` fetches. None by default."),
    ] = field(default_factory=dict)
    crowdsec: Annotated[CrowdsecSettings, Meta(description="Decisions exchanged with CrowdSec.")] = CrowdsecSettings()
    notify: Annotated[
        NotifySettings,
        Meta(description="Messages to people, which `nodewarden-notify.service` sends. None by default."),
    ] = NotifySettings()
    audit: Annotated[AuditSettings, Meta(description="The audit of what is open on this node.")] = AuditSettings()
    log: Annotated[Log, Meta(description="The log of the daemon.")] = Log()

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse more lists than the kernel's table has room for."""
        if len(self.lists) > MAX_LISTS:
            yield Conflict(("lists",), f"{len(self.lists)} lists are too many: expected at most {MAX_LISTS}")
