"""The exchange with one LAPI: when to pull and push, in a thread of its own, and how it is going.

The loop only submits jobs and takes their results. One job runs at a time. LAPI gone: nothing is removed, nothing
prolonged, and what is to be pushed waits.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from typing import Any

from monitor.crowdsec.claims import Claim, Outcome
from monitor.crowdsec.client import EXCHANGE_S, Lapi
from monitor.crowdsec.errors import Cause, LapiError
from monitor.crowdsec.outbox import News, Outbox, alert_of
from monitor.crowdsec.pulled import Plan, Pulled
from monitor.crowdsec.settings import CrowdsecSettings, is_of_lapi
from monitor.daemon.crowdsec.hand_over import HandOver
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.retry import Backoff, Worker

_log = logging.getLogger(__name__)
_WHOLE_EVERY_S = 3600.0
_WHOLE_JITTER = 0.1
"""Nodes that start together must not ask for everything together for ever."""
_HEARTBEAT_S = 60.0
_NEWS_EACH = 50
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0
_PATIENCE_S = 30.0
"""A restart of LAPI takes seconds and is no problem yet."""
_FOR_PEOPLE = frozenset({Cause.REFUSED, Cause.CREDENTIALS, Cause.TLS, Cause.STATUS})
"""These do not pass by themselves."""
_NOTHING_SENT = frozenset({Cause.UNREACHABLE, Cause.TLS, Cause.CREDENTIALS})


class Direction:
    """How the exchange in one direction is going."""

    def __init__(self, name: str) -> None:
        """`name` is `pull` or `push`."""
        self.name = name
        self.backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
        self.done_s = float("-inf")
        self.failures: Counter[Cause] = Counter(dict.fromkeys(Cause, 0))
        self._failing_since_s = 0.0
        self.failure: LapiError | None = None
        """Why the last exchange failed; None if it worked, or there was none yet."""

    def worked(self, now_s: float) -> None:
        """Note an exchange."""
        if self.failure:
            _log.info("CrowdSec: %s works again", self.name)
        self.failure = None
        self.done_s = now_s
        self.backoff.reset()

    def failed(self, error: LapiError, now_s: float) -> None:
        """Note a failure; the log has the first, and others than the last."""
        self.failures[error.cause] += 1
        if self.failure is None:
            self._failing_since_s = now_s
        if self.failure is None or str(self.failure) != str(error):
            _log.warning("CrowdSec: %s failed: %s; it is tried again", self.name, error)
        self.failure = error
        self.backoff.failed()

    def problem(self, now_s: float) -> str:
        """Return why it does not work; empty while it does, or may soon."""
        if self.failure is None:
            return ""
        is_lasting = now_s - self._failing_since_s >= _PATIENCE_S or self.failure.cause in _FOR_PEOPLE
        return str(self.failure) if is_lasting else ""


class Link:
    """The exchange with one LAPI."""

    def __init__(
        self,
        settings: CrowdsecSettings,
        pipeline: Pipeline,
        hand_over: HandOver,
        failed: Callable[[str, Exception], None],
        *,
        is_believed: bool,
    ) -> None:
        """`failed` takes faults of our own. `is_believed`: LAPI's first answer may end any claim of before."""
        self.settings = settings
        self.pull, self.push = Direction("pull"), Direction("push")
        self.outbox = Outbox(settings.machine)
        self._pipeline = pipeline
        self._hand_over = hand_over
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._lapi = Lapi(settings)
        self._worker = Worker("crowdsec")
        self._pulled = Pulled(settings, is_believed=is_believed)
        self._is_seeded = False
        self._needs_whole = True
        self._whole_due_s = float("-inf")
        self._pull_due_s = self._heartbeat_due_s = float("-inf")
        self._job: Future[Any] | None = None
        self._job_since_s = 0.0
        self._news_each = _NEWS_EACH
        self.held = 0
        """Decisions that are held."""
        self.pushed_total = self.deleted_total = 0
        """Bans that LAPI took and forgot."""
        self.surplus = 0
        """Decisions that LAPI had beyond the limit when it was last asked for all."""

    @property
    def peer(self) -> str:
        """The address of LAPI, once there was a connection."""
        return self._lapi.peer

    def close(self) -> None:
        """Begin nothing further, and end what is going on."""
        self._worker.shutdown(cancel=True)
        self._lapi.abort()

    def tick(self) -> None:
        """Begin what is due; call it each second."""
        now_s = time.monotonic()
        if self._job is not None:
            if now_s - self._job_since_s > EXCHANGE_S + _PATIENCE_S:
                self._lapi.interrupt()
            return
        if self.settings.pushes and self.push.backoff.is_due:
            if news := self.outbox.take(self._news_each):
                self._start(self._send, partial(self._sent, news), news, time.time())
                return
            if now_s >= self._heartbeat_due_s:
                self._heartbeat_due_s = now_s + _HEARTBEAT_S
                self._start(self._lapi.heartbeat, partial(self._sent, []))
                return
        is_due = self.settings.pulls and now_s >= self._pull_due_s and self.pull.backoff.is_due
        if is_due and not self._hand_over.is_busy:
            self._pull(now_s)

    def _pull(self, now_s: float) -> None:
        if not self._is_seeded:
            self._is_seeded = True
            self._pulled.seed(self._held_before())
        is_whole = self._needs_whole or now_s >= self._whole_due_s
        self._needs_whole = True  # until the answer is here
        self._start(self._ask, partial(self._answered, is_whole), is_whole)

    def _held_before(self) -> Iterator[Claim]:
        """Yield what an earlier run, or earlier settings, had claimed."""
        monotonic_less_wall_s = time.monotonic() - time.time()
        for claim in self._pipeline.ledger.all_claims():
            if is_of_lapi(claim):
                yield Claim(claim.key, claim.detector, claim.until_s + monotonic_less_wall_s, claim.reason)

    def _ask(self, is_whole: bool) -> Plan:  # noqa: FBT001 - for the worker
        """In the thread: pull."""
        now_s = time.monotonic()  # LAPI counts durations from about now
        with closing(self._lapi.decisions(whole=is_whole)) as chunks:
            return self._pulled.whole(chunks, now_s) if is_whole else self._pulled.changes(chunks, now_s)

    def _answered(self, is_whole: bool, plan: Plan | None, error: LapiError | None) -> None:  # noqa: FBT001 - partial
        now_s = time.monotonic()
        if plan is None:
            assert error is not None  # noqa: S101 - one of the two is there
            self.pull.failed(error, now_s)
            self._needs_whole = is_whole or error.cause not in _NOTHING_SENT
            return
        self.pull.worked(now_s)
        self._pull_due_s = now_s + self.settings.every_s
        self._needs_whole = plan.is_doubted
        if is_whole:
            self._whole_due_s = now_s + _WHOLE_EVERY_S * random.uniform(1 - _WHOLE_JITTER, 1)  # noqa: S311
            self.surplus = plan.outcomes[Outcome.SURPLUS]
            if plan.is_doubted:
                _log.warning("CrowdSec: more than half of what LAPI had is missing; kept until it is asked again")
        else:
            self.surplus += plan.outcomes[Outcome.SURPLUS]
        self.held = len(self._pulled)
        self._hand_over.outcomes.update(plan.outcomes)
        settings = self.settings
        self._hand_over.take(plan.ended, plan.wanted, mode=settings.mode, longest_s=settings.max_bantime_s)

    def _send(self, news: Sequence[News], now_s: float) -> None:
        """In the thread: push bans, or withdrawals."""
        if news[0].until_s:
            alerts = [alert for one in news if (alert := alert_of(one, now_s))]
            if alerts:
                self._lapi.push(alerts)
            return
        for one in news:
            self._lapi.delete(one.value, one.scenario)

    def _sent(self, news: Sequence[News], _: None, error: LapiError | None) -> None:
        now_s = time.monotonic()
        if error is not None:
            self.push.failed(error, now_s)
            if error.cause is Cause.STATUS:  # it may be one of them that LAPI does not like: find out which
                self._news_each = 1
                self.outbox.put_last(news)
            else:
                self.outbox.put_back(news)
            return
        self._news_each = _NEWS_EACH
        self.push.worked(now_s)
        if news and news[0].until_s:
            self.pushed_total += len(news)
        else:
            self.deleted_total += len(news)

    def _start(self, work: Callable[..., Any], done: Callable[[Any, LapiError | None], None], *args: Any) -> None:
        self._job_since_s = time.monotonic()
        self._job = job = self._worker.submit(work, *args)
        job.add_done_callback(partial(self._finished, done))

    def _finished(self, done: Callable[[Any, LapiError | None], None], job: Future[Any]) -> None:
        """In any thread: have the loop take the result."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, done, job)

    def _take(self, done: Callable[[Any, LapiError | None], None], job: Future[Any]) -> None:
        self._job = None
        if job.cancelled() or self._lapi.is_closed:
            return
        error = job.exception()
        if error is None:
            done(job.result(), None)
        elif isinstance(error, LapiError):
            done(None, error)
        else:
            if not isinstance(error, SYSTEM_FAULTS) and isinstance(error, Exception):
                self._failed("exchanging with CrowdSec", error)
            text = explain(error) if isinstance(error, Exception) else repr(error)
            done(None, LapiError(Cause.INTERNAL, text))
        self.tick()
