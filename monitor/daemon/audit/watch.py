"""Follows the report of `nodewarden audit`: problems, notices, metrics, status, and what the fleet learns of it.

The daemon audits nothing: its sandbox forbids namespaces. It reads what root wrote, whenever that file is another one,
and says when it is old: an audit that no longer runs looks like one that finds nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from monitor.audit.findings import Severity
from monitor.audit.report import Result
from monitor.audit.report_file import ReportError, read_report
from monitor.audit.settings import AuditSettings
from monitor.daemon.audit.digested import GRAVE, Digested, digested
from monitor.metrics.metric import Sample
from monitor.model.problems import Problem, ProblemKind
from monitor.model.requirements import Part, PartKind, Requirement

_log = logging.getLogger(__name__)
_LOOK_S = 10.0
_MAX_NOTICES = 3
_AHEAD_S = 3600.0
"""A report that is further in the future was dated by a wrong clock: it would never be old."""
_COMMAND = "nodewarden audit"
_START = "systemctl start nodewarden-audit.service"


class AuditWatch:
    """The last audit of this node, if there was one."""

    def __init__(
        self, settings: AuditSettings, *, owner: int = 0, wall: Callable[[], float] = time.time, look_s: float = _LOOK_S
    ) -> None:
        """Read nothing yet; `owner` is the user who must own the report."""
        self._settings = settings
        self._owner = owner
        self._wall = wall
        self._look_s = look_s
        self._next_s = 0.0
        self._signature: tuple[int, ...] | None = None
        self._fault = ""
        self.last: Digested | None = None

    def reconfigure(self, settings: AuditSettings) -> None:
        """Follow changed settings, and look at once."""
        self._next_s = 0.0
        if settings.report != self._settings.report:
            self._signature = None
        self._settings = settings

    def tick(self) -> None:
        """Read the report if it is another one; it is looked at every few seconds."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._look_s
        signature = _signature(self._settings.report)
        if signature != self._signature:
            self._signature = signature
            self._read()

    def _read(self) -> None:
        before, self._fault = self._fault, ""
        try:
            self.last = digested(read_report(self._settings.report, Result, self._owner))
        except FileNotFoundError:
            if self.last:
                self._fault = f"the report of the last audit is gone from {self._settings.report}: {_START}"
            self.last = None
        except ReportError as error:
            self.last, self._fault = None, f"the report of the last audit cannot be used: {error}"
            if self._fault != before:
                _log.warning("%s", self._fault)
        else:
            _log.info("read the audit's report: %s", self._summary(self.last))

    def digest(self) -> str:
        """Return what tells the last result from others; empty without one."""
        return self.last.digest if self.last else ""

    def problems(self) -> Iterator[Problem]:
        """Say that audits do not run, or why their report is not read; what they find is no problem of the guard."""
        if self._fault:
            yield Problem(ProblemKind.AUDIT, self._fault)
        if self.last and self._is_stale(self.last):
            text = f"this node was last audited {_day(self.last.time_s)}: {_START}, and look at nodewarden-audit.timer"
            yield Problem(ProblemKind.AUDIT, text)

    def _is_stale(self, last: Digested) -> bool:
        limit_s = self._settings.stale_after_s
        return bool(limit_s) and not -_AHEAD_S <= self._wall() - last.time_s <= limit_s

    def notices(self) -> Iterator[str]:
        """Say what the last audit found that is grave, and what it could not judge."""
        if self.last is None:
            return
        for text in self.last.grave[:_MAX_NOTICES]:
            yield f"audit: {text}"
        if (more := self.last.of(*GRAVE) - _MAX_NOTICES) > 0:
            yield f"audit: {more} more findings of high or critical severity: `{_COMMAND}` names them"
        for text in self.last.lacks:
            yield f"audit: a part was not judged: {text}"

    def describe(self) -> dict[str, Any] | None:
        """Return the last audit as plain data; None without one."""
        if self.last is None:
            return None
        return {
            "time_s": self.last.time_s,
            "age_s": max(0.0, self._wall() - self.last.time_s),
            "digest": self.last.digest,
            "failing": {str(one): count for one in reversed(Severity) if (count := self.last.of(one))},
            "unknown": self.last.unknown,
            "suppressed": self.last.suppressed,
            "is_stale": self._is_stale(self.last),
        }

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics; a check that fails has a sample, one that passes has none."""
        last = self.last
        yield "nodewarden_audit_time_seconds", (), last.time_s if last else 0.0
        yield "nodewarden_audit_unknown", (), last.unknown if last else 0
        for (check, severity), count in last.failing.items() if last else ():
            yield "nodewarden_audit_findings", (check, str(severity)), count

    def parts(self) -> list[Part]:
        """Return what doctor says: whether audits run."""
        problem = next(iter(self.problems()), None)
        missing = problem.text if problem else "" if self.last else f"there is no report at {self._settings.report}"
        need = Requirement("a recent report of `nodewarden audit`", missing, _START)
        return [Part("audit", PartKind.PROTECTION, is_wanted=True, requirements=[need], is_optional=True)]

    def _summary(self, last: Digested) -> str:
        failing = ", ".join(f"{last.of(one)} {one}" for one in reversed(Severity) if last.of(one)) or "nothing fails"
        return f"{failing}; {last.unknown} unknown, {last.suppressed} suppressed"


def _day(time_s: float) -> str:
    try:
        return f"on {time.strftime('%Y-%m-%d', time.gmtime(time_s))}"
    except (ValueError, OverflowError, OSError):
        return "on a day that there is not"


def _signature(path: Path) -> tuple[int, ...]:
    """Return what tells a file from the one that replaces it; empty without one."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_uid, found.st_mode
