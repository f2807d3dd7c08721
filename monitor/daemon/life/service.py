"""The daemon's life: open everything, run the loop, reload, stop; it alone watches clocks and signals."""

import asyncio
import ctypes
import gc
import logging
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from monitor.bans.ledger import Ledger
from monitor.control.server import ControlServer
from monitor.daemon.catalogue import BAN_LATENCY, METRICS
from monitor.daemon.control.orders import Orders
from monitor.daemon.control.requests import Answers
from monitor.daemon.life import logs, systemd
from monitor.daemon.life.background import Cutting, DriftMender
from monitor.daemon.life.config_watch import ConfigWatch
from monitor.daemon.life.enforcers import make_enforcers, take_over
from monitor.daemon.life.health import Health, ProblemWatch
from monitor.daemon.life.restore import history
from monitor.daemon.life.state import State
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.log_correlation import WAIT_S
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.selfcheck.doctor import check, log_check
from monitor.daemon.sources.runners import Sources
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.owner import Owner
from monitor.metrics.exporter import Exporter
from monitor.metrics.metric import Sample
from monitor.model.addresses import Network
from monitor.model.bans import Offence
from monitor.model.clock import ClockSteps
from monitor.model.errors import ConfigError, NodewardenError, TemporaryError
from monitor.model.events import Event
from monitor.model.flows import FlowBatch
from monitor.node.surroundings import Reading, Surroundings
from monitor.settings.load import Loaded, load
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from monitor.state.store import Store

_log = logging.getLogger(__name__)
_TICK_S = 1.0
_SCRAPE_TIMEOUT_S = 5.0
_SAVE_TIMEOUT_S = 5.0
_SWITCH_S = 0.0005
"""How long the loop may wait for a thread that writes out metrics or state. Python's 5 ms would be those of a ban."""


class Service:
    """One daemon, from `open` to `close`."""

    def __init__(self, path: Path, loaded: Loaded) -> None:
        """Wire the stages for a configuration that was loaded from `path`; nothing is opened or changed yet."""
        settings = loaded.settings
        self._path = path
        self._settings = settings
        self._is_looking_again = False
        self._clock = ClockSteps(time.monotonic(), time.time())
        self._owner = Owner(path)
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._exporter = Exporter(METRICS, self._read_samples)
        protect = settings.bans.protect
        self._surroundings = Surroundings(
            self._node_changed,
            sessions=protect.sessions,
            admin_groups=protect.admin_groups,
            kubernetes=protect.kubernetes,
        )
        self._saver = Saver(settings.state.directory / "nodewarden.db", self._store_opened)
        self._cutting = Cutting()
        self._events = EventStream()
        self._problems = ProblemWatch()
        self.pipeline = Pipeline(
            settings,
            self._surroundings.reading.entries,
            self._make_enforcers,
            (DecisionLog(), DecisionRecord(self._saver), self._events),
            DecisionMetrics(self._exporter.histograms[BAN_LATENCY.name].observe),
            self._cutting.cut,
            networks=self._surroundings.reading.networks,
            sysctls=self._surroundings.reading.sysctls,
        )
        self._state = State(self._saver, self.pipeline, is_settled=lambda: self._sources.is_settled)
        self._enforcers.table.on_drift = self.pipeline.listeners.drifted
        self._drift = DriftMender(self._enforcers.table)
        self._sources = Sources(settings, self.pipeline.log_filters, self._enforcers.xdp, self._saver, self._process)
        self._health = Health(
            path,
            settings,
            self.pipeline,
            self._sources,
            self._saver,
            self._state,
            self._surroundings,
            self._cutting,
            self._owner,
        )
        self._answers = Answers(
            self.pipeline,
            Orders(self.pipeline, self._saver),
            self._events,
            self._health.describe,
            lambda: check(self._settings, self.pipeline.log_filters, self._sources.slow_filters(), is_daemon=True),
            self._history,
            self._saver.flush,
            self.reload,
        )
        self._control = ControlServer(settings.control.socket, self._answers.handle)

    def _make_enforcers(self, ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
        self._enforcers = make_enforcers(self._settings.bans.max_bans, ledger, allowlist)
        return self._enforcers.combined()

    async def open(self) -> None:
        """Open sources, then what faces people, the kernel's table last: what fails before leaves nothing behind."""
        settings = self._settings
        await take_over(self._owner)
        log_check(settings, self.pipeline.log_filters)
        self._state.open()
        self._sources.open()
        if settings.metrics.enabled:
            self._exporter.serve(settings.metrics.listen.host, settings.metrics.listen.port)
        await self._control.open(settings.control.group)
        in_force = self._state.restore()
        self._drift.open()  # only now: a hundred thousand notices of our own would overrun it
        _settle_memory()
        _log.info("guarding with %s; %d bans are in force", self._modes(), in_force)

    async def close(self) -> None:
        """Stop reading and answering; bans stay in the kernel."""
        await self._control.close()
        self._sources.close()
        self._surroundings.close()
        self._drift.close()
        self.pipeline.enforcers.close()
        self._cutting.close()
        self._state.close(_SAVE_TIMEOUT_S)
        self._owner.close()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        self._loop.add_signal_handler(signal.SIGHUP, self.try_reload)
        self._sources.attach(self._loop)
        self._surroundings.attach(self._loop)
        self._drift.attach(self._loop)
        systemd.ready()
        while not self._stop.is_set():
            self._tick()
            try:
                await asyncio.wait_for(self._stop.wait(), _TICK_S)
            except TimeoutError:
                continue
        systemd.stopping()
        _log.info("stopping; the bans in force stay in the kernel until they end (`nodewarden flush` removes them)")

    def _tick(self) -> None:
        """Do what is due each second; feeds the watchdog, so a loop that is stuck is restarted."""
        self._follow_clock()
        self.pipeline.tick(time.time())
        self._sources.tick()
        self._state.tick(time.time())
        problems = self._health.problems()
        self.pipeline.listeners.troubled(*self._problems.changes(problems))
        systemd.status(self._health.summary(problems))
        if systemd.is_watched():
            systemd.alive()

    def _follow_clock(self) -> None:
        """Keep the time that bans still have when the clock is set: the kernel's timeouts know nothing of it."""
        now_s = time.time()
        step_s, last_look_s = self._clock.look(time.monotonic(), now_s)
        if step_s:
            _log.warning("the clock was set by %+.0f s; all bans keep the time that they had left", step_s)
            self._state.follow_clock(step_s, last_look_s, now_s)

    def _look_again(self) -> None:
        """Read connection tracking, for logged packets that wait for it."""
        self._is_looking_again = False
        self._sources.poll(FlowBatch)

    def _process(self, events: Iterable[Event]) -> None:
        """Take a batch through the pipeline; a fault of our own, in finding its events too, costs only this batch."""
        batch: list[Event] = []
        try:
            batch.extend(events)
            if batch:
                self.pipeline.process(batch, time.time())
                if not self._is_looking_again and self.pipeline.evidence.logged.is_waiting:
                    self._is_looking_again = True
                    self._loop.call_later(WAIT_S, self._look_again)
        except Exception:  # noqa: BLE001 - the one supervisor: everything else is caught by name
            self._health.internal_errors += 1
            _log.exception("a batch of %d events was lost to an internal fault; please report this", len(batch))

    def reload(self) -> None:
        """Follow the configuration on disk; a faulty one is refused (ConfigError) and the old one stays."""
        try:
            settings = load(self._path).settings
        except ConfigError as error:
            self._health.reloads["failure"] += 1
            self._health.config_error = str(error)
            _log.error("reload refused, the configuration in force stays:\n%s", error)
            raise
        for change in _needs_restart(self._settings, settings):
            _log.warning("%s changed: that takes effect after a restart", change)
        was_enforcing = self.pipeline.enforces
        self._settings = settings
        logging.getLogger().setLevel(settings.log.level.upper())
        now_s = time.time()
        self.pipeline.reconfigure(settings, history(self._saver.store, now_s), now_s)
        if self.pipeline.enforces and not was_enforcing:
            self.pipeline.table.set_up(now_s)
        self._sources.reconfigure(settings, self.pipeline.log_filters)
        protect = settings.bans.protect
        self._surroundings.reconfigure(
            sessions=protect.sessions, kubernetes=protect.kubernetes, admin_groups=protect.admin_groups
        )
        self._health.config_error = ""
        self._health.reloads["success"] += 1
        _log.info("reloaded; guarding with %s", self._modes())

    def _node_changed(self, reading: Reading) -> None:
        """Follow node addresses, gateways, resolvers, sessions, cluster, networks and kernel settings."""
        try:
            self.pipeline.follow_node(reading.entries, time.time(), reading.networks, reading.sysctls)
        except NodewardenError as error:
            _log.error("the allowlist in the kernel could not follow the node: %s", error)
            return
        self._sources.reconfigure(self._settings, self.pipeline.log_filters)  # one depends on a sysctl
        _log.info("node addresses, routes, sessions, resolvers or sysctls changed; allowlist and networks updated")

    def _store_opened(self, store: Store) -> None:
        self._state.opened(store)

    def _history(self, network: Network, limit: int) -> list[Offence]:
        """Return the offences of a network that are on disk, newest first."""
        try:
            return self._saver.store.offences_of(network, limit) if self._saver.store else []
        except TemporaryError:
            return []

    def try_reload(self) -> None:
        """Reload because of a signal or a changed file; a failure is only told."""
        systemd.reloading()
        try:
            self.reload()
        except NodewardenError:
            pass  # logged, counted and shown by `status`
        finally:
            systemd.ready()

    def _modes(self) -> str:
        return ", ".join(f"{name} ({policy.mode})" for name, policy in self.pipeline.policy.rules.detectors.items())

    def _read_samples(self) -> list[Sample]:
        """Collect all samples on the loop's thread, so that they fit together; called from the server's thread."""

        async def collect() -> list[Sample]:
            return list(self._health.samples())

        return asyncio.run_coroutine_threadsafe(collect(), self._loop).result(_SCRAPE_TIMEOUT_S)


def _settle_memory() -> None:
    """Return what the start took, and have the garbage collector pass over what is to stay.

    Reading a large table takes memory once, and glibc keeps the pages. Looking through all modules and the ledger for
    garbage takes 30 ms, for which a ban would wait.
    """
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _needs_restart(old: Settings, new: Settings) -> list[str]:
    """Name the changed settings that a running daemon cannot follow."""
    pairs = {
        "metrics": (old.metrics, new.metrics),
        "control": (old.control, new.control),
        "state": (old.state, new.state),
        "bans.max_bans": (old.bans.max_bans, new.bans.max_bans),
    }
    return [name for name, (before, after) in pairs.items() if before != after]


async def serve(path: Path, *, watch: bool = False) -> None:
    """Load, open, run and close; `watch` follows changed files. ConfigError and PermanentError explain themselves."""
    loaded = load(path)
    logs.set_up(loaded.settings.log.level)
    sys.setswitchinterval(_SWITCH_S)
    service = Service(path, loaded)
    config_watch = ConfigWatch(path, service.try_reload) if watch else None
    try:
        await service.open()
        await service.run()
    finally:
        if config_watch:
            config_watch.close()
        await service.close()
