"""The daemon's life: open everything, run the loop, reload, stop; it alone watches clocks and signals."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from monitor.daemon.life import logs, memory
from monitor.daemon.life.assembly import Assembly
from monitor.daemon.life.config_watch import ConfigWatch
from monitor.daemon.life.enforcers import take_over
from monitor.daemon.life.in_force import modes
from monitor.daemon.life.pace import REST_AWAKE_S, REST_S, Pace
from monitor.daemon.life.rest import TICK_S, Rest, Woken, can_rest_long
from monitor.daemon.selfcheck.doctor import log_check
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.daemon.trial.resume import resume
from monitor.model.clock import ClockSteps
from monitor.native import Watched
from monitor.settings.load import Loaded

_log = logging.getLogger(__name__)
_SAVE_TIMEOUT_S = 5.0
_SETTLE_S = 5.0
"""How long after the start that what only it needed is returned: sources may be starting still."""
_SWITCH_S = 0.0005
"""How long the loop may wait for a thread that writes out metrics or state. Python's 5 ms would be those of a ban."""


class Service(Assembly):
    """One daemon, from `open` to `close`."""

    def __init__(self, path: Path, loaded: Loaded, trials: TrialKeeper | None = None) -> None:
        """Wire the stages, as `Assembly` does; nothing is opened or changed yet."""
        super().__init__(path, loaded, trials)
        self._clock = ClockSteps(time.monotonic(), time.time())
        self._is_stopping = False
        self._pace = Pace(REST_S if can_rest_long(self._loop) else REST_AWAKE_S)
        self._rest = Rest(self._loop, self._pace)
        self._changes_known = 0
        self._is_reload_due = False

    async def open(self) -> None:
        """Open sources, then what faces people, the kernel's table last: what fails before leaves nothing behind."""
        settings = self._in_force.settings
        sys.setswitchinterval(_SWITCH_S)
        await take_over(self._owner)
        log_check(settings, self.pipeline.log_filters)
        self._recording.open(self.pipeline, time.time())
        self._state.open()
        self._sources.open()
        self._metrics.serve(settings.metrics, self._descriptors.reserved_from)
        await self._control.open(settings.control.group)
        in_force = self._state.restore()
        bans = self.pipeline.ledger.bans()
        internal = self.pipeline.surrounding.internal.inside(ban.network.address for ban in bans)
        self._harm.start([ban for ban in bans if ban.network.address in internal] if internal else [])
        self._sight.start(time.time())
        self._elsewhere.open(self.pipeline, time.time())
        self._drift.open()  # only now: a hundred thousand notices of our own would overrun it
        memory.settle()
        _log.info("guarding with %s; %d bans are in force", modes(self.pipeline), in_force)

    async def close(self) -> None:
        """Stop reading and answering; bans stay in the kernel."""
        await self._control.close()
        self._look_back.close()
        self._sources.close()
        self._surroundings.close()
        self._pods.close()
        self._elsewhere.close()
        self._drift.close()
        self._sight.close()
        self.pipeline.enforcers.close()
        self._cutting.close()
        self._recording.close()
        self._decision_log.close()
        self._state.close(_SAVE_TIMEOUT_S)
        self._systemd.close()
        self._owner.close()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        self._loop.add_signal_handler(signal.SIGHUP, self.try_reload)
        self._loop.set_exception_handler(self._supervisor.callback_failed)
        self._sources.attach(self._loop)
        self._surroundings.attach(self._loop)
        self._pods.attach(self._loop)
        self._elsewhere.attach(self._loop)
        self._drift.attach(self._loop)
        if self._is_reload_due:
            self.try_reload()
        self._loop.call_later(_SETTLE_S, memory.settle_again)
        self._systemd.ready()
        self._metrics.look = self._look_for_who_asks
        while not self._is_stopping:
            self._look(self._rest.take_woken())
            await self._pause()  # only now: a long tick leaves time to read
        self._systemd.stopping()
        _log.info("stopping; the bans in force stay in the kernel until they end (`nodewarden flush` removes them)")

    def _stop(self) -> None:
        self._is_stopping = True
        self._rest.wake()

    def _look(self, woken: Woken) -> None:
        """Do what is due: a tick, or what sources alone have to do. A change that no source explains takes a tick."""
        due, has_news = self._news()
        has_news = has_news or (woken.is_changed and not due)
        if self._pace.is_due(time.monotonic(), has_news=has_news, is_asked=woken.is_asked):
            self._changes_known = self._changes_total  # those of this tick are news for the next one
            self._supervisor.run(self._tick_parts())
            self._pace.looked(time.monotonic())
        else:
            due = {"following the clock": self._follow_clock, **due, "feeding the watchdog": self._systemd.alive}
            self._supervisor.run(due)

    def _look_for_who_asks(self) -> None:
        """Look around unless that was done just now: who asks is answered next."""
        if not self._is_stopping and not self._rest.is_current():
            self._look(Woken(is_asked=True))
            self._rest.renew(self._left_s() if self._pace.is_resting else TICK_S)  # after news another tick follows

    async def _pause(self) -> None:
        """Wait for the next look, at rest if nothing is to be done before."""
        if not self._pace.is_resting:  # there was a tick just now
            await self._rest.stay_awake()
        elif self._watched() is None:  # sources alone may have something to do: who asks has it look all the same
            await self._rest.rest(TICK_S, tuple, self._sources.descriptors)
        else:
            await self._rest.rest(self._left_s(), self._watched, self._sources.descriptors)

    def _left_s(self) -> float:
        """How long a rest may last from now on, in seconds."""
        left_s = max(0.0, self.pipeline.next_end_s - time.time())
        return min(self._pace.left_s(time.monotonic()), left_s, self._systemd.alive_every_s)

    def _watched(self) -> Sequence[Watched] | None:
        """Return what the loop is to look at while it rests; None if there is something to do."""
        try:
            return None if self._found_news() else self._sources.watched()
        except Exception as error:  # noqa: BLE001 - for the supervisor: a fault costs a rest
            self._supervisor.failed("looking for what to watch", error)
            return None

    def _found_news(self) -> bool:
        """Return whether the last tick found something, or is to be followed by another one."""
        is_waiting = self.pipeline.is_waiting(time.time()) or self._scrapers.has_news or self._decision_log.is_waiting
        is_waiting = is_waiting or self._elsewhere.has_news or self._trial.is_running or self._problems.count > 0
        is_waiting = is_waiting or self._files.has_news or self._saver.has_news or self._supervisor.has_news
        return is_waiting or self._changes_total != self._changes_known

    @property
    def _changes_total(self) -> int:
        """How often the pipeline or the node around it was found changed."""
        return self.pipeline.inputs_total + self._surroundings.readings_total

    def _news(self) -> tuple[dict[str, Callable[[], object]], bool]:
        """Return what sources have to do, and whether something happened since the last tick, or is wrong."""
        try:
            return self._sources.due_parts(), self._sources.has_trouble or self._found_news()
        except Exception as error:  # noqa: BLE001 - for the supervisor: a fault costs a quiet second
            self._supervisor.failed("looking for news", error)
            return {}, True

    def _tick_parts(self) -> dict[str, Callable[[], object]]:
        """Return what is due in a tick, by name. The last one feeds the watchdog: a stuck loop is restarted."""
        now_s = time.time()
        return {
            "following the clock": self._follow_clock,
            **{name: partial(part, now_s) for name, part in self.pipeline.tick_parts().items()},
            **self._sources.tick_parts(),
            "looking around the node": self._surroundings.tick,
            **self._sight.tick_parts(now_s),
            "following those who monitor": self._scrapers.tick,
            **self._elsewhere.tick_parts(now_s),
            "polling bans of internal sources": partial(self._harm.poll, self.pipeline.enforcers.stopped),
            "comparing the table": self._drift.tick,
            **self._state.tick_parts(now_s),
            "writing the recording": self._recording.write,
            "comparing the configuration's files": partial(self._files.tick, now_s),
            "keeping the trial configuration": partial(self._trial.tick, now_s),
            "checking descriptors and clients": self._upkeep.check,
            "reporting problems": self._report,
            "feeding the watchdog": self._systemd.alive,
        }

    def _report(self) -> None:
        """Tell listeners and systemd what is wrong."""
        problems = self._health.problems()
        self.pipeline.listeners.troubled(*self._problems.changes(problems))
        self._systemd.status(self._health.summary(problems))

    def _follow_clock(self) -> None:
        """Keep the time that bans still have when the clock is set: the kernel's timeouts know nothing of it."""
        now_s = time.time()
        step_s, last_look_s = self._clock.look(time.monotonic(), now_s)
        if step_s:
            _log.warning("the clock was set by %+.0f s; all bans keep the time that they had left", step_s)
            self._state.follow_clock(step_s, last_look_s, now_s)

    def reload_later(self, *_: object) -> None:
        """Reload when the start is done: SIGHUP would otherwise end the process."""
        self._is_reload_due = True

    def try_reload(self) -> None:
        """Follow the configuration on disk; a faulty one is logged and reported."""
        self._in_force.try_reload()
        self._rest.woken(is_asked=False)  # a fault is a problem from now on


async def serve(path: Path, *, watch: bool = False) -> None:
    """Load, open, run and close; `watch` follows changed files. ConfigError and PermanentError explain themselves."""
    memory.share()
    loaded, trials = resume(path)
    logs.set_up(loaded.settings.log)
    service = Service(path, loaded, trials)
    signal.signal(signal.SIGHUP, service.reload_later)
    config_watch = ConfigWatch(path, service.try_reload) if watch else None
    try:
        await service.open()
        await service.run()
    finally:
        if config_watch:
            config_watch.close()
        await service.close()
