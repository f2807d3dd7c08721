"""What keeps the daemon from seeing: untracked connections, sysctls, rules of the firewall that log too little.

None of it is a fault of a source, which reads what there is; so `status`, metrics and `doctor` ask here.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from monitor.daemon.life.firewall_log import FirewallLog
from monitor.daemon.life.sysctl_watch import SysctlWatch
from monitor.daemon.life.tracking import Tracking
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.wiring import kernel_uses
from monitor.daemon.sources.runners import Sources
from monitor.metrics.metric import Sample
from monitor.model.problems import Problem, ProblemKind, of_kind
from monitor.model.requirements import Part
from monitor.settings.schema import Settings


class Sight:
    """Watches all of it."""

    def __init__(self, settings: Callable[[], Settings], pipeline: Pipeline, sources: Callable[[], Sources]) -> None:
        """Read sysctls once. `settings` returns those in force."""
        self._tracking = Tracking(
            pipeline, lambda: settings().sources.conntrack.enabled, lambda: sources().tracked_share
        )
        self._settings = settings
        self._used: tuple[Settings, Collection[str]] | None = None
        self._sysctls = SysctlWatch(self._uses)
        self._firewall_log = FirewallLog(settings)

    def _uses(self) -> Collection[str]:
        """Return what of the kernel's settings the configuration uses; found once for each configuration."""
        settings = self._settings()
        if self._used is None or self._used[0] is not settings:
            self._used = settings, kernel_uses(settings)
        return self._used[1]

    def start(self, now_s: float) -> None:
        """Have connections tracked from now on; the bans of an earlier run must be known."""
        self._tracking.tick(now_s)

    def tick_parts(self, now_s: float) -> dict[str, Callable[[], object]]:
        """Return what is due each second, by name."""
        return {
            "having connections tracked": partial(self._tracking.tick, now_s),
            "reading sysctls": self._sysctls.tick,
            "reading the firewall's log rules": self._firewall_log.tick,
        }

    def renew(self) -> None:
        """Follow changed settings."""
        self._firewall_log.renew()

    def problems(self) -> Iterator[Problem]:
        """Say what hides evidence."""
        yield from of_kind(ProblemKind.TRACKING, self._tracking.problems())
        yield from of_kind(ProblemKind.SYSCTL, self._sysctls.problems())

    def notices(self) -> list[str]:
        """Say what weakens evidence."""
        return self._sysctls.notices() + self._firewall_log.notices()

    def parts(self) -> list[Part]:
        """Return the parts of the self-check that only a running daemon can judge."""
        return [self._tracking.part(), self._firewall_log.part()]

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics."""
        yield "nodewarden_tracking_paused", (), float(self._tracking.is_resting)
        yield "nodewarden_firewall_log_faults", (), len(self._firewall_log.findings)
        yield from self._sysctls.samples()

    def close(self) -> None:
        """End watching, and tracking for our sake."""
        self._tracking.close()
        self._firewall_log.close()
        self._sysctls.close()
