"""Failures: one source fails too often in one application (what fail2ban calls a jail)."""

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Annotated, Self

from msgspec import Meta, field

from monitor.config.kinds import FILE_PATTERN, FILTER, JOURNAL_MATCH, POD_MATCH, TIMEZONE, duration, integer
from monitor.config.shapes import MERGED, Conflict
from monitor.detectors.detector import Detector
from monitor.detectors.limits import Limits
from monitor.detectors.registration import NamedRegistration
from monitor.detectors.scoring import SAMPLE_SIZE, Scores
from monitor.detectors.settings import BANTIME, ENTRIES, WindowSettings
from monitor.detectors.wide_prefix import WidePrefix
from monitor.metrics.metric import COUNTER, Metric, Sample
from monitor.model.addresses import Address, Network, fold_mapped, host, network_of
from monitor.model.alerts import Alert, Evidence, Party, Strength
from monitor.model.events import AuthFailure
from monitor.model.pods import pod_log
from monitor.model.saved_rows import CountingWindow
from monitor.model.window_stats import Crossing

IGNORED_NETWORKS = Metric(
    "nodewarden_detector_ignored_networks_total",
    COUNTER,
    "Failures not counted because they name a network larger than /16 (IPv4) or /32 (IPv6), or no valid one.",
    ("detector",),
)

_SERIAL_BYTES = 8
_USER_BYTES = 48
_SHORTEST_PREFIX = {4: 16, 16: 32}
"""By length of the address: no log line is trusted enough to ban a larger network."""
_MAPPED_BITS = 96
_FORGEABLE = b"\0"
_IPV6_BYTES = 16
"""Ends the keys of evidence that anyone can forge: it never adds to what is proven."""


class Backend(enum.StrEnum):
    """Where a detector's log is read."""

    AUTO = "auto"
    JOURNAL = "journal"
    FILES = "files"


class LineEvidence(enum.StrEnum):
    """What the lines of a detector's log prove."""

    AUTO = "auto"
    PROVEN = "proven"
    SPOOFABLE = "spoofable"


class FailuresSettings(WindowSettings, frozen=True, kw_only=True):
    """One source fails too often in one application."""

    enabled: Annotated[bool, Meta(description="`false` switches this detector off.")] = True
    filter: Annotated[
        str,
        FILTER,
        Meta(
            description="The filter that recognises a failure: the name of a built-in filter, or the absolute path of "
            "one of your own (`*.yaml`) or of fail2ban's (`/etc/fail2ban/filter.d/NAME.conf`). Parameters follow in "
            "brackets: `sshd[mode=aggressive]`."
        ),
    ]
    backend: Annotated[
        Backend,
        Meta(
            description="Where the log is read. `auto`: the files that the application itself writes, while one of "
            "them is there; else the journal, if there is one and the filter or `journalmatch` names what to read in "
            "it; else the files of the syslog daemon. Exactly one of these counts at a time. Files that `files` names "
            "come first; setting `files` alone means files, setting `journalmatch` alone means the journal."
        ),
    ] = Backend.AUTO
    files: Annotated[
        tuple[Annotated[str, FILE_PATTERN], ...],
        MERGED,
        Meta(
            description="The log files, as absolute paths in which `*`, `?` and `[...]` match. Empty: those that the "
            "filter names."
        ),
    ] = ()
    pods: Annotated[
        tuple[Annotated[str, POD_MATCH], ...],
        MERGED,
        Meta(
            description="Containers whose logs to read, as `NAMESPACE/POD/CONTAINER`; `*` and `?` match. The kubelet "
            "of the node has them below /var/log/pods. What a container printed only shuns."
        ),
    ] = ()
    journalmatch: Annotated[
        tuple[Annotated[str, JOURNAL_MATCH], ...],
        MERGED,
        Meta(
            description="The journal entries to read, as for journalctl(1); an entry is read if one of the lines "
            "matches. Empty: those that the filter names."
        ),
    ] = ()
    evidence: Annotated[
        LineEvidence,
        Meta(
            description="What the lines prove: proven failures ban, others only shun. `auto`: proven if the filter is "
            "built in and vetted, and only its application can have written the line. `proven`: you vouch that nobody "
            "else gets text into this log and that the address in a line is that of the connection; lines still only "
            "shun if they were cut or if containers or ordinary accounts can have written them. `spoofable`: always "
            "shun."
        ),
    ] = LineEvidence.AUTO
    timezone: Annotated[
        str,
        TIMEZONE,
        Meta(
            description="The time zone of dates in files that name none, such as `Europe/Berlin` or `UTC+02:00`. "
            "Empty: that of the system."
        ),
    ] = ""
    silence_s: Annotated[
        float,
        duration("0s", "365d"),
        Meta(
            description="Report a problem when the log yielded no line for this long while a systemd unit that the "
            "filter names is running: the log may be elsewhere. `0s`: never."
        ),
    ] = field(default=2 * 86_400.0, name="silence")
    maxretry: Annotated[
        int, integer(1, 10_000), Meta(description="Alert when one source fails this often within `findtime`.")
    ] = 5
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of failures remembered: the bound on memory.")
    ] = 32_768

    def conflicts(self) -> Iterable[Conflict]:
        """Return what does not go together: a threshold above the bound on memory, a log that is never read."""
        yield from super().conflicts()
        if self.backend is Backend.JOURNAL and self.files:
            yield Conflict(("files", "backend"), "never read: backend is journal")
        if self.backend is Backend.JOURNAL and self.pods:
            yield Conflict(("pods", "backend"), "never read: backend is journal")
        if self.backend is Backend.FILES and self.journalmatch:
            yield Conflict(("journalmatch", "backend"), "never used: backend is files")


DEFAULT_FAILURES = {"sshd": FailuresSettings(filter="sshd")}
"""The detectors that are there without being configured."""


class FailuresDetector(Detector[AuthFailure]):
    """Fires when the failures of one source reach the threshold; forgets it then, so it can fire again."""

    name = "failures"
    takes = (AuthFailure,)
    is_addressed = True
    dates_items = True
    metrics = (IGNORED_NETWORKS,)

    def __init__(self, name: str, limits: Limits, offenders_of_48: int = 0) -> None:
        """Take the name that its events carry, when to fire, and how many offenders ban an IPv6 /48 (0: none do)."""
        super().__init__(limits)
        self.name = name
        self.ignored_networks_total = 0
        """Events that were ignored because they name a network larger than allowed, or an impossible one."""
        self._scores = Scores(limits)
        self._wide = WidePrefix(limits, offenders_of_48)
        self._prefix_bytes = limits.ipv6_prefix // 8
        self._prefix_end = bytes(16 - self._prefix_bytes) + bytes((limits.ipv6_prefix,))
        # Every failure counts, so each is an item of its own: a serial number, followed by the name that was tried.
        # It starts anywhere, so that it is none of an earlier run whose failures are remembered.
        self._serials = count(int.from_bytes(os.urandom(_SERIAL_BYTES - 1)))
        self.stats = self._scores.stats

    def feed(self, events: Sequence[AuthFailure]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised; events of other detectors are skipped."""
        alerts = []
        name, add, proven = self.name, self._scores.window.add, Strength.PROVEN
        for event, serial in zip(events, self._serials, strict=False):
            if event.detector != name:
                continue
            source, user = event.source, event.user
            item = serial.to_bytes(_SERIAL_BYTES)
            if user:
                item += user.encode(errors="replace")[:_USER_BYTES]
            if len(source) != 4 or event.prefix_length is not None:
                alert = self._feed_wide(event, item)
                if alert is not None:
                    alerts.append(alert)
                continue
            key = source if event.strength is proven else source + _FORGEABLE
            crossing = add(key, item, event.time_s)
            if crossing is not None:
                alerts.append(self._alert(event, crossing, source, self._scores.network(source), is_alone=True))
        return alerts

    def count(self, source: Address) -> int:
        """Return how many failures of this source are remembered, of the stronger or the more frequent kind."""
        window = self._scores.window
        return max(window.count(source), window.count(source + _FORGEABLE))

    def counted(self, key: bytes) -> Network:
        """Return whom a key stands for; that of a prefix has its length behind it, and what can be forged a mark."""
        origin, rest = (key[:4], b"") if len(key) < _IPV6_BYTES else (key[:_IPV6_BYTES], key[_IPV6_BYTES:])
        return network_of(origin, rest[0]) if rest and rest[0] else host(origin)

    def counts_like(self, old: Self) -> bool:
        """Return whether it is the detector of the same name: how many offenders ban a /48 is a threshold."""
        return self.name == old.name

    def windows(self) -> Sequence[CountingWindow]:
        """Return the window."""
        return (self._scores.window,)

    def samples(self) -> Iterator[Sample]:
        """Yield how many failures were ignored for the size of their network."""
        yield IGNORED_NETWORKS.name, (self.name,), self.ignored_networks_total

    def _feed_wide(self, event: AuthFailure, item: bytes) -> Alert | None:
        """Take an event of IPv6, or one that names a network."""
        source = fold_mapped(event.source)
        mark = b"" if event.strength is Strength.PROVEN else _FORGEABLE
        length = event.prefix_length
        if length is not None:
            if len(source) == 4 and length > 32:
                length -= _MAPPED_BITS
            if not _SHORTEST_PREFIX[len(source)] <= length <= len(source) * 8:
                self.ignored_networks_total += 1
                return None
            if length < len(source) * 8:
                return self._add_network(event, network_of(source, length), item, mark)
        scores, window, key = self._scores, self._scores.window, source + mark
        crossing = window.add(key, item, event.time_s)
        is_alone = crossing is not None
        if not is_alone and len(source) == 16 and scores.has_prefixes:
            prefix_key = source[: self._prefix_bytes] + self._prefix_end + mark
            crossing = scores.add_to_prefix(key, prefix_key, item, event.time_s)
            if crossing is None and event.strength is Strength.PROVEN:
                return self._add_wide(event, source, max(window.count(key), window.count(prefix_key)))
        if crossing is None:
            return None
        return self._alert(event, crossing, source, scores.network(source), is_alone=is_alone)

    def _add_wide(self, event: AuthFailure, source: Address, count: int) -> Alert | None:
        """Count a proven failure for the /48 of its source; it is the `count`th of its /64."""
        wide = self._wide
        crossing = wide.add(source, count, event.time_s, self.stats)
        if crossing is None:
            return None
        evidence = wide.evidence(crossing, self._what(event), event.line)
        return self._about(event, source, wide.network(source, crossing), evidence, is_alone=False)

    def _add_network(self, event: AuthFailure, network: Network, item: bytes, mark: bytes) -> Alert | None:
        """Count a failure of a whole network: it is banned as one or, where the allowlist overlaps it, not at all."""
        key = network.address + bytes((network.prefix_length,)) + mark
        crossing = self._scores.window.add(key, item, event.time_s)
        return None if crossing is None else self._alert(event, crossing, network.address, network, is_alone=False)

    def _alert(
        self, event: AuthFailure, crossing: Crossing, source: Address, network: Network, *, is_alone: bool
    ) -> Alert:
        evidence = self._scores.evidence(crossing, self._what(event), _users(crossing.items), event.line)
        return self._about(event, source, network, evidence, is_alone=is_alone)

    def _about(
        self, event: AuthFailure, source: Address, network: Network, evidence: Evidence, *, is_alone: bool
    ) -> Alert:
        log = pod_log(event.log)
        ours = Party(service=self.name, pod=f"{log.namespace}/{log.pod}" if log else "")
        return Alert(self.name, event.time_s, source, network, is_alone, event.strength, evidence, ours=ours)

    def _what(self, event: AuthFailure) -> str:
        """Name what is counted, for people."""
        log = pod_log(event.log) or event.log
        where = f"{log}; shuns only: {event.doubt}" if event.doubt else str(log)
        return f"failures in {self.name} ({_printable(where)})"


def _users(items: Iterable[bytes]) -> tuple[str, ...]:
    """Return the names that were tried, each once, in order."""
    names = dict.fromkeys(item[_SERIAL_BYTES:] for item in items)
    names.pop(b"", None)
    return tuple(_printable(name.decode(errors="ignore")) for name in list(names)[:SAMPLE_SIZE])


def _printable(text: str) -> str:
    """Escape control characters that attackers could send to a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


DETECTOR = NamedRegistration(
    detector=FailuresDetector,
    settings=FailuresSettings,
    summary="One source fails too often in one application, as its log says: a fail2ban jail. Each section has a name "
    "of its own; `sshd` is defined.",
    make=lambda name, section, context: FailuresDetector(name, section.limits(context.ipv6_prefix), context.ipv6_48),
    order=50,
)
