"""Follows the configuration on disk while the daemon runs."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import msgspec

from monitor.daemon.life import capacity, logs
from monitor.daemon.life.config_files import ConfigFiles
from monitor.daemon.life.elsewhere import Elsewhere
from monitor.daemon.life.health import Health
from monitor.daemon.life.recording import Recording
from monitor.daemon.life.restore import history
from monitor.daemon.life.scraper_watch import ScraperWatch
from monitor.daemon.life.sight import Sight
from monitor.daemon.life.systemd import ServiceManager
from monitor.daemon.pipeline.carry_over import Carried
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.selfcheck.configuration import Examined, examine, load_examined
from monitor.daemon.selfcheck.doctor import check
from monitor.daemon.selfcheck.windows import windows_part
from monitor.daemon.sources.runners import Sources
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.model.errors import ConfigError, NodewardenError, TemporaryError
from monitor.node.surroundings import Surroundings
from monitor.settings.changes import needs_restart
from monitor.settings.load import Loaded
from monitor.settings.schema import Settings
from monitor.state.saver import Saver

_log = logging.getLogger(__name__)
_AGAIN_S = 5.0


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did."""

    waiting: list[str]
    """The settings that differ from those that the daemon started with, and take effect after a restart only."""
    detectors: list[Carried]
    """What each detector keeps of what it counted."""


def modes(pipeline: Pipeline) -> str:
    """Return the detectors with their modes, for the log."""
    return ", ".join(f"{name} ({policy.mode})" for name, policy in pipeline.policy.rules.detectors.items())


class InForce:
    """The configuration in force: replaces it by the one on disk, and checks whether the node lets it work."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        pipeline: Pipeline,
        sources: Sources,
        surroundings: Surroundings,
        files: ConfigFiles,
        saver: Saver,
        systemd: ServiceManager,
        trials: TrialKeeper,
        recording: Recording,
        scrapers: ScraperWatch,
        elsewhere: Elsewhere,
    ) -> None:
        """Take what follows the configuration; `settings` were loaded from `path`, and from a trial that waits."""
        self.settings = settings
        self._started_with = settings
        self._path = path
        self._pipeline = pipeline
        self._sources = sources
        self._surroundings = surroundings
        self._files = files
        self._saver = saver
        self._systemd = systemd
        self._trials = trials
        trials.attach(self)
        self._recording = recording
        self._scrapers = scrapers
        self._elsewhere = elsewhere

    def attach(self, health: Health, sight: Sight) -> None:
        """Take what reports on it; they in turn know it."""
        self._health = health
        self._sight = sight

    def reload(self) -> Reloaded:
        """Follow the configuration on disk; a faulty one is refused (ConfigError) and the old one stays.

        TemporaryError if the system cannot read it now; the reload is then tried again.
        """
        try:
            loaded, examined = load_examined(self._path, standing=self._trials.standing)
        except (ConfigError, TemporaryError) as error:
            self._health.reloads["failure"] += 1
            self._files.refuse(str(error), time.time())
            _log.error("reload refused, the configuration in force stays:\n%s", error)
            if isinstance(error, TemporaryError):
                asyncio.get_running_loop().call_later(_AGAIN_S, self.try_reload)
            raise
        done = self._put_in_force(loaded, examined)
        self._files.follow(self._pipeline.log_filters.files_read)
        self._files.waiting = done.waiting
        self._health.reloads["success"] += 1
        self._trials.followed(loaded)
        return done

    def put_back(self, loaded: Loaded) -> None:
        """Put a configuration into force that was read earlier, since the files on disk are faulty."""
        self._put_in_force(loaded, examine(loaded))

    def _put_in_force(self, loaded: Loaded, examined: Examined) -> Reloaded:
        settings = loaded.settings
        for one in examined.warnings:
            _log.warning("configuration: %s", one)
        waiting = needs_restart(self._started_with, settings)
        for change in waiting:
            _log.warning("%s changed: that takes effect after a restart", change)
        was_enforcing = self._pipeline.enforces
        logs.follow(self.settings.log, settings.log)
        self.settings = settings
        now_s = time.time()
        carried = self._pipeline.reconfigure(settings, history(self._saver.store, now_s), now_s, examined.filters)
        if self._pipeline.enforces and not was_enforcing:
            self._pipeline.table.set_up(now_s)
        self._sources.reconfigure(settings, self._pipeline.log_filters)
        self._sight.renew()
        self._recording.reconfigure(settings.recording, now_s)
        protect = settings.bans.protect
        self._surroundings.reconfigure(
            sessions=protect.sessions, kubernetes=protect.kubernetes, admin_groups=protect.admin_groups
        )
        self._scrapers.reconfigure(protect.scrapers)
        self._elsewhere.reconfigure(settings, now_s)
        self._health.follow_origins(loaded)
        _log.info("reloaded; guarding with %s", modes(self._pipeline))
        for detector in carried:
            if not detector.is_all:
                _log.info("%s", detector)
        return Reloaded(waiting, carried)

    def try_reload(self) -> None:
        """Reload because of a signal or a changed file; a failure is only told."""
        self._systemd.reloading()
        try:
            self.reload()
        except NodewardenError:
            pass  # logged, counted and shown by `status`
        finally:
            self._systemd.ready()

    def check(self) -> dict[str, Any]:
        """Return what the self-check finds."""
        known = [
            capacity.part(self._pipeline.policy, time.time()),
            capacity.allowlist_part(self._pipeline.policy),
            windows_part(self._pipeline.counting),
            self._files.part(),
            self._health.trial_part(),
            self._recording.part(),
            self._scrapers.part(),
            *self._elsewhere.parts(),
            *self._sight.parts(),
            self._surroundings.names.part(is_wanted=self.settings.bans.protect.kubernetes),
        ]
        return check(
            self.settings,
            self._pipeline.log_filters,
            self._sources.slow_filters(),
            is_daemon=True,
            silent_logs=self._sources.silent_logs(),
            faults=self._pipeline.table.faults,
            filter_faults=self._sources.filter_faults(),
            known=known,
        )
