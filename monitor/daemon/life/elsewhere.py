"""What is optional: the fleet, CrowdSec, lists and audits, which know more; the notifier, which reports to people."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

from monitor.daemon.audit.watch import AuditWatch
from monitor.daemon.control.fleet_answers import FleetAnswers
from monitor.daemon.crowdsec.bridge import Crowdsec
from monitor.daemon.fleet.membership import Membership
from monitor.daemon.fleet.watch import FleetWatch
from monitor.daemon.life.saved_windows import SavedPart
from monitor.daemon.lists.keeper import ListKeeper
from monitor.daemon.lists.report import ListReport
from monitor.daemon.notify.former_events import FILE_NAME, FormerEvents
from monitor.daemon.notify.watch import NotifyWatch
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model.bans import AllowEntry
from monitor.model.problems import Problem
from monitor.model.requirements import Part
from monitor.settings.schema import Settings


class Elsewhere:
    """Opens, follows and closes them together, and says how they are."""

    def __init__(
        self,
        settings: Settings,
        failed: Callable[[str, Exception], None],
        follow_entries: Callable[[], None],
        problem_count: Callable[[], int],
        events: EventStream,
    ) -> None:
        """Open nothing yet.

        `failed` gets faults, `follow_entries` is called when `entries` changed, `problem_count` goes into the node's
        hello to the fleet, `events` are what a notifier follows.
        """
        self._settings = settings
        self._follow_entries = follow_entries
        self._audit = AuditWatch(settings.audit)
        self._fleet = Membership(
            settings, os.uname().nodename, failed, follow_entries, problem_count, audit=self._audit.digest
        )
        self._fleet_watch = FleetWatch(self._fleet)
        self._crowdsec = Crowdsec(settings.crowdsec, failed)
        self._notify = NotifyWatch(settings)
        self.former_events = FormerEvents(settings.state.directory / FILE_NAME, events)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those of them that follow decisions."""
        return self._fleet, self._crowdsec

    @property
    def saved(self) -> SavedPart:
        """What of them is kept across restarts."""
        return self._fleet.saved

    @property
    def entries(self) -> list[AllowEntry]:
        """What must not be banned because of them: the fleet's allowlist, and who answers for CrowdSec."""
        return [*self._fleet.entries, *self._crowdsec.entries]

    def join(self, pipeline: Pipeline) -> None:
        """Take the pipeline, before anything is opened."""
        self._lists = ListKeeper(self._settings, lambda: pipeline.guard.networks())  # noqa: PLW0108 - the guard changes
        self.lists = ListReport(self._lists)
        self.fleet = FleetAnswers(self._fleet, self._fleet_watch, pipeline)
        pipeline.enforcers.companions.append(self._lists)

    def open(self, pipeline: Pipeline, now_s: float) -> None:
        """Begin, once what an earlier run left is in force."""
        self.former_events.open()
        self._fleet.open(pipeline, now_s)
        self._crowdsec.open(pipeline, self._follow_entries)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work from now on."""
        self._fleet.attach(loop)
        self._lists.attach(loop)

    def close(self) -> None:
        """End; what is in force stays."""
        self._crowdsec.close()
        self._fleet.close()
        self._lists.close()
        self._notify.close()
        self.former_events.close(is_wanted=self._notify.has_channels)

    def reconfigure(self, settings: Settings, now_s: float) -> None:
        """Follow changed settings."""
        self._settings = settings
        self._fleet.reconfigure(settings, now_s)
        self._crowdsec.reconfigure(settings.crowdsec)
        self._lists.reconfigure(settings)
        self._audit.reconfigure(settings.audit)
        self._notify.reconfigure(settings)

    @property
    def has_news(self) -> bool:
        """Whether ticks have to be done: a fleet and CrowdSec are exchanged with in them."""
        return bool(self._settings.fleet.url or self._settings.crowdsec.url) or self._fleet.fleet is not None

    def tick_parts(self, now_s: float) -> dict[str, Callable[[], object]]:
        """Return what is due each second, by name."""
        return {
            **self._fleet.tick_parts(now_s),
            "exchanging with CrowdSec": self._crowdsec.poll,
            "keeping block lists": self._lists.tick,
            "following audits": self._audit.tick,
            "watching the notifier": self._notify.tick,
        }

    def suspect(self) -> None:
        """Take that other programs changed our table of bans: they may have changed that of block lists as well."""
        self._lists.suspect()

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong with them."""
        yield from self._crowdsec.problems()
        yield from self._fleet_watch.problems()
        yield from self.lists.problems()
        yield from self._audit.problems()
        yield from self._notify.problems()

    def notices(self) -> Iterator[str]:
        """Say what operators should know of them."""
        yield from self._crowdsec.notices()
        yield from self._fleet_watch.notices()
        yield from self.lists.notices()
        yield from self._audit.notices()

    def describe(self) -> dict[str, Any]:
        """Return their part of the status."""
        return {
            "fleet": self._fleet_watch.describe(),
            "lists": self.lists.describe(),
            "audit": self._audit.describe(),
            "notify": self._notify.describe(),
        }

    def samples(self) -> Iterator[Sample]:
        """Yield their metrics."""
        yield from self._crowdsec.samples()
        yield from self.lists.samples()
        yield from self._notify.samples()
        yield from self._fleet_watch.samples()
        yield from self._audit.samples()

    def parts(self) -> list[Part]:
        """Return what doctor says about them."""
        return [
            self._fleet_watch.part(),
            self._crowdsec.part(),
            *self.lists.parts(),
            *self._notify.parts(),
            *self._audit.parts(),
        ]
