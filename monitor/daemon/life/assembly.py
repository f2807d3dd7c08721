"""All parts of a daemon, wired: which part gets which, and what they tell one another. `service` has its life."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from monitor.bans.ledger import Ledger
from monitor.control.server import ControlServer
from monitor.daemon.catalogue import BAN_LATENCY
from monitor.daemon.control.event_presentation import show_event
from monitor.daemon.control.history_answers import HistoryAnswers
from monitor.daemon.control.orders import Orders
from monitor.daemon.control.requests import Answers
from monitor.daemon.life import descriptors
from monitor.daemon.life.background import Cutting
from monitor.daemon.life.config_files import ConfigFiles, fault_of
from monitor.daemon.life.elsewhere import Elsewhere
from monitor.daemon.life.enforcers import make_enforcers
from monitor.daemon.life.health import Health, ProblemWatch
from monitor.daemon.life.in_force import InForce
from monitor.daemon.life.metrics_server import MetricsServer
from monitor.daemon.life.recording import Recording
from monitor.daemon.life.restore import offences_of
from monitor.daemon.life.saved_windows import SavedPart
from monitor.daemon.life.scraper_watch import ScraperWatch
from monitor.daemon.life.sight import Sight
from monitor.daemon.life.state import State
from monitor.daemon.life.supervisor import Supervisor
from monitor.daemon.life.systemd import ServiceManager
from monitor.daemon.life.table_watch import TableWatch
from monitor.daemon.life.trial_watch import TrialWatch
from monitor.daemon.life.upkeep import Upkeep
from monitor.daemon.pipeline.decision_fields import Place
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.decision_record import DecisionRecord
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.harm import HarmWatch
from monitor.daemon.pipeline.history_intake import HistoryIntake
from monitor.daemon.pipeline.log_correlation import WAIT_S
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.standing import standing
from monitor.daemon.selfcheck.configuration import load_examined
from monitor.daemon.sources.runners import Sources
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.daemon.trial.known_sources import KnownSources
from monitor.daemon.trial.orders import TrialOrders
from monitor.daemon.trial.resume import without_trial
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.owner import Owner
from monitor.model.addresses import Network
from monitor.model.alerts import Alert
from monitor.model.bans import Standing
from monitor.model.errors import NodewardenError, TemporaryError
from monitor.model.events import Event, PacketLogged
from monitor.model.flows import FlowBatch
from monitor.node.pod_watch import PodWatch
from monitor.node.surroundings import Reading, Surroundings
from monitor.settings.load import Loaded
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from monitor.state.store import FILE_NAME, Store

_log = logging.getLogger(__name__)


class Assembly:
    """The parts, and what they tell one another. Each step takes what the steps before it made."""

    def __init__(self, path: Path, loaded: Loaded, trials: TrialKeeper | None = None) -> None:
        """Wire the stages for a configuration that was loaded from `path`; nothing is opened or changed yet.

        `trials` keeps the trial configuration, which `loaded` contains if there is one (default: there is none).
        """
        settings = loaded.settings
        trials = trials or without_trial(path, loaded)
        self._lay_ground(path, settings, trials)
        self._make_listeners(settings, trials)
        self._make_pipeline(settings)
        self._make_sources(settings)
        self._make_watches(path, settings, trials)
        self._make_health(path, loaded)
        self._make_control(path, settings, trials)

    def _lay_ground(self, path: Path, settings: Settings, trials: TrialKeeper) -> None:
        """Make what knows nothing of the pipeline."""
        self._bans = settings.bans
        self._files = ConfigFiles(path, lambda: fault_of(lambda: load_examined(path, standing=trials.standing)))
        self._is_looking_again = False
        self._descriptors = descriptors.Descriptors(descriptors.raise_limit())
        self._systemd = ServiceManager()
        self._supervisor = Supervisor()
        self._owner = Owner(path)
        self._loop = asyncio.get_running_loop()
        self._metrics = MetricsServer(self._loop, self._supervisor)
        protect = settings.bans.protect
        self._surroundings = Surroundings(
            self._node_changed,
            sessions=protect.sessions,
            admin_groups=protect.admin_groups,
            kubernetes=protect.kubernetes,
        )
        self._saver = Saver(
            settings.state.directory / FILE_NAME,
            self._store_opened,
            open_first=partial(Store.open, checks_bans=False),
        )
        self._cutting = Cutting()

    def _make_listeners(self, settings: Settings, trials: TrialKeeper) -> None:
        """Make what follows decisions."""
        self._events = EventStream(show_event)
        self._intake = HistoryIntake(
            lambda offence, decision: self._standing(offence.network, decision.alert), settings.state.history_rows
        )
        self._look_back = HistoryAnswers(settings.state.directory / FILE_NAME, self._standing)
        self._problems = ProblemWatch()
        self._trial = TrialWatch(trials, KnownSources(settings.state.directory, self._standing))
        self._recording = Recording(settings)
        self._elsewhere = Elsewhere(
            settings,
            self._supervisor.failed,
            lambda: self._node_changed(self._surroundings.reading),
            lambda: self._problems.count,
            self._events,
        )
        self._harm = HarmWatch(
            lambda alert: self.pipeline.evidence.was_client(alert),  # noqa: PLW0108 - the pipeline comes later
            lambda address: address in self.pipeline.surrounding.internal,
        )
        self._place = Place(
            os.uname().nodename,
            lambda address: self.pipeline.pods.pod_of(address),  # noqa: PLW0108 - the pipeline comes later
        )
        self._decision_log = DecisionLog(self._place)

    def _make_pipeline(self, settings: Settings) -> None:
        self.pipeline = Pipeline(
            settings,
            self._surroundings.reading.entries,
            self._make_enforcers,
            (
                self._decision_log,
                DecisionRecord(self._saver, self._intake),
                self._events,
                self._recording,
                self._trial.bans,
                self._harm,
                *self._elsewhere.listeners,
            ),
            DecisionMetrics(self._metrics.exporter.histograms[BAN_LATENCY.name].observe, self._place.pod_of),
            self._cutting.cut,
            networks=self._surroundings.reading.networks,
            sysctls=self._surroundings.reading.sysctls,
        )

    def _make_sources(self, settings: Settings) -> None:
        """Make what feeds the pipeline, and what keeps its state."""
        self._scrapers = ScraperWatch(
            self.pipeline,
            settings.bans.protect.scrapers,
            settings.metrics.listen.port,
            lambda: self._node_changed(self._surroundings.reading),
        )
        self._elsewhere.join(self.pipeline)
        self._files.follow(self.pipeline.log_filters.files_read)
        self._state = State(
            self._saver,
            self.pipeline,
            is_settled=lambda: self._sources.is_settled,
            history_age_s=settings.state.history_age_s,
            history_rows=settings.state.history_rows,
            more=(SavedPart("scrapers", "scrapers", (self._scrapers,)), self._elsewhere.saved),
        )
        self._enforcers.table.on_drift = self._drifted
        self._drift = TableWatch(self._enforcers.keeper, self._enforcers.table.ports, self._supervisor.failed)
        self._sources = Sources(
            settings,
            self.pipeline.log_filters,
            self._enforcers.xdp,
            self._saver,
            self._process,
            self.pipeline.pods,
            self.pipeline.count_running,
        )

    def _make_watches(self, path: Path, settings: Settings, trials: TrialKeeper) -> None:
        """Make what changes the pipeline or watches over it."""
        self._in_force = InForce(
            path,
            settings,
            self.pipeline,
            self._sources,
            self._surroundings,
            self._files,
            self._saver,
            self._systemd,
            trials,
            self._recording,
            self._scrapers,
            self._elsewhere,
        )
        self._trial.attach(self.pipeline)
        self._pods = PodWatch(self.pipeline.pods)
        self._sight = Sight(lambda: self._in_force.settings, self.pipeline, lambda: self._sources)
        self._upkeep = Upkeep(self._supervisor, self._descriptors, self._systemd)
        self._upkeep.follow("metrics", self._metrics.exporter.dropped, self._metrics.exporter.trouble)

    def _make_health(self, path: Path, loaded: Loaded) -> None:
        """Make what reports on all parts."""
        self._health = Health(
            path,
            loaded.settings,
            self.pipeline,
            self._sources,
            self._saver,
            self._state,
            self._surroundings,
            self._cutting,
            self._upkeep,
            self._drift,
            self._sight,
            self._owner,
            self._intake,
            self._files,
            self._trial,
            self._recording,
            self._scrapers,
            self._harm,
            self._pods,
            self._elsewhere,
        )
        self._health.follow_origins(loaded)
        self._metrics.attach(self._health, self._scrapers, self.pipeline.metrics.exemplars)
        self._in_force.attach(self._health, self._sight)

    def _make_control(self, path: Path, settings: Settings, trials: TrialKeeper) -> None:
        """Make what answers the command line."""
        self._answers = Answers(
            self.pipeline,
            Orders(self.pipeline, self._saver),
            self._events,
            self._health.describe,
            self._health.samples,
            self._in_force.check,
            partial(offences_of, self._saver),
            self._look_back.answer,
            self._saver.save_now,
            self._in_force.reload,
            self._recording.order,
            TrialOrders(path, trials, lambda: self._in_force.settings).answer,
            self._elsewhere.fleet,
            self._scrapers.describe,
            self._elsewhere.lists.about,
            self._elsewhere.lists.answer,
            self._elsewhere.former_events.after,
        )
        self._control = ControlServer(
            settings.control.socket,
            self._answers.handle,
            self._supervisor.failed,
            reserved_from=self._descriptors.reserved_from,
        )
        self._upkeep.follow("control", self._control.dropped)

    def _make_enforcers(self, ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
        self._enforcers = make_enforcers(self._bans, ledger, allowlist)
        return self._enforcers.combined()

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
                if type(batch[0]) is PacketLogged and not self.pipeline.evidence.logged.is_current(time.time()):
                    self._sources.poll(FlowBatch)  # a quiet daemon reads it only now and then
                self.pipeline.process(batch, time.time())
                if not self._is_looking_again and self.pipeline.evidence.logged.is_waiting:
                    self._is_looking_again = True
                    self._loop.call_later(WAIT_S, self._look_again)
        except Exception as error:  # noqa: BLE001 - for the supervisor: everything else is caught by name
            self._supervisor.batch_lost(len(batch), error)

    def _node_changed(self, reading: Reading) -> None:
        """Follow node addresses, gateways, resolvers, sessions, scrapers, cluster, networks and kernel settings.

        TemporaryError if the kernel refuses the allowlist: the surroundings report that, and try again.
        """
        try:
            entries = [*reading.entries, *self._scrapers.entries, *self._elsewhere.entries]
            self.pipeline.follow_node(entries, time.time(), reading.networks, reading.sysctls)
        except NodewardenError as error:
            raise TemporaryError(f"the allowlist in the kernel could not follow the node: {error}") from error
        self._sources.reconfigure(self._in_force.settings, self.pipeline.log_filters)  # one depends on a sysctl
        _log.info("what surrounds the node, sessions or scrapers changed; allowlist and networks updated")

    def _drifted(self, changes: Counter[tuple[str, str]]) -> None:
        """Tell of changes of the table by other programs."""
        self.pipeline.listeners.drifted(changes)
        self._elsewhere.suspect()

    def _store_opened(self, store: Store) -> None:
        self._state.opened(store)

    def _standing(self, network: Network, alert: Alert | None = None) -> Standing | None:
        """Return what makes a network no stranger."""
        return standing(network, self.pipeline.guard, self.pipeline.surrounding, alert)
