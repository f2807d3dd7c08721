"""Answers to the commands that come over the control socket, as plain data."""

import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import product
from typing import Any

from monitor import __version__, native
from monitor.bans.claims import Rank
from monitor.control import protocol
from monitor.control.fleet_requests import FleetPardon, FleetStatus, FleetTrust
from monitor.control.protocol import History, ListBans, Reply, Report, Request, Why
from monitor.daemon.control.busiest import activity, busiest, closest
from monitor.daemon.control.event_presentation import show_events
from monitor.daemon.control.fleet_answers import FleetAnswers
from monitor.daemon.control.listing import Listings, Page, finish
from monitor.daemon.control.orders import Order, Orders
from monitor.daemon.control.presentation import (
    show_ban,
    show_entry,
    show_foreign,
    show_network_rules,
    show_note,
    show_offence,
)
from monitor.daemon.control.turns import in_slices, in_steps, let_others_work
from monitor.daemon.pipeline.event_stream import EventStream
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model.addresses import Address, Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import WORDS, Ban, Mode, Offence
from monitor.model.errors import NodewardenError

_MAX_HISTORY = 50
_MAX_FOREIGN = 20


class RequestError(NodewardenError):
    """The request as a whole cannot be met; the message is for whoever sent it."""


class Answers:
    """Turns requests into replies; asks the pipeline, and the service for what only it knows."""

    def __init__(
        self,
        pipeline: Pipeline,
        orders: Orders,
        events: EventStream,
        describe: Callable[[], dict[str, Any]],
        samples: Callable[[], Iterable[Sample]],
        check: Callable[[], dict[str, Any]],
        history: Callable[[Network, int], list[Offence]],
        look_back: Callable[[History | Report], Awaitable[dict[str, Any]]],
        save: Callable[[], Awaitable[bool]],
        reload: Callable[[], Any],
        record: Callable[[str], Awaitable[dict[str, Any]]],
        trial: Callable[[protocol.TrialRequest], Any],
        fleet: FleetAnswers,
        scraper: Callable[[Network], dict[str, Any] | None] = lambda _: None,
        listed: Callable[[Network], list[dict[str, Any]]] = lambda _: [],
        lists: Callable[[protocol.ListsRequest], Any] = lambda _: [],
        former_events: Callable[[str, int], dict[str, Any]] = lambda *_: {},
    ) -> None:
        """Take who knows what.

        `describe` gives the service's part of the status, `samples` all metrics, `check` what the self-check finds,
        `history` an address's offences, `look_back` answers from all of the history, `save` puts what was ordered on
        disk before it is answered, `reload` returns what it did (plain data or a Struct) and raises NodewardenError if
        it fails, `record` starts or stops the recording and returns how it is going, `trial` is for `nodewarden apply`,
        `fleet` for what is about other nodes, `scraper` says when an address scraped metrics, `listed` on which block
        lists it is; `lists` answers about them; `former_events` has the events after one of an earlier run.
        """
        self._pipeline = pipeline
        self._orders = orders
        self._listings = Listings(pipeline.ledger, pipeline.table.foreign.listed)
        self._events = events
        self._describe = describe
        self._samples = samples
        self._check = check
        self._history = history
        self._look_back = look_back
        self._save = save
        self._reload = reload
        self._trial = trial
        self._fleet = fleet
        self._scraper = scraper
        self._listed = listed
        self._lists = lists
        self._former_events = former_events
        self._record = record

    async def handle(self, request: Request) -> Reply:
        """Answer one request; NodewardenError for what the requester should read.

        An order is carried out in slices, between which the loop does its other work: other commands, the sources, the
        tick. It is answered once it is on disk.
        """
        match request:
            case protocol.BanOrder() | protocol.Unban() | protocol.AllowAdd() | protocol.AllowRemove():
                result: Any = await self._carry_out(request)
            case FleetPardon():
                result = await in_slices(self._fleet.slices(request))
            case protocol.Flush():
                result = self._flush()
            case protocol.ListBans():
                return Reply(ok=True, result=await in_steps(self._list(request)))
            case protocol.Top():
                return Reply(ok=True, result=await self._top(request))
            case protocol.Record():
                return Reply(ok=True, result=await self._record(request.action))
            case protocol.History() | protocol.Report():
                return Reply(ok=True, result=await self._look_back(request))
            case _:
                return self.look_up(request)
        await self._save()  # where it fails, status and metrics say so; the order stands
        return Reply(ok=True, result=result)

    async def _carry_out(self, order: Order) -> list[dict[str, Any]]:
        if not isinstance(order, protocol.BanOrder) or not order.fleet:
            return await in_slices(self._orders.slices(order))
        self._fleet.require()
        answers = await in_slices(self._orders.slices(order))
        has_shuns = any(one.set == WORDS[Strength.SPOOFABLE] for one in order.bans)
        return self._fleet.announced(
            answers, "; only nodes with `fleet.share: all` take shuns over" if has_shuns else ""
        )

    def look_up(self, request: Request) -> Reply:
        """Answer a request that changes nothing but, with Reload and trials, what the configuration says."""
        match request:
            case protocol.Status():
                return Reply(ok=True, result=self._status())
            case protocol.Doctor():
                return Reply(ok=True, result=self._check())
            case protocol.ListBans():
                return Reply(ok=True, result=finish(self._list(request)))
            case protocol.Why():
                return Reply(ok=True, result=self._why(request))
            case protocol.Events() if request.run and request.run != self._events.name_of_run:
                return Reply(ok=True, result=self._former_events(request.run, request.after))
            case protocol.Events():
                return Reply(ok=True, result=show_events(self._events, request.after, request.since_s))
            case protocol.AllowList():
                return Reply(ok=True, result=[show_entry(entry) for entry in self._pipeline.guard.entries])
            case protocol.AllowTest():
                return Reply(ok=True, result=show_entry(self._pipeline.guard.protects(_network(request.network))))
        return self._operate(request)

    def _operate(self, request: Request) -> Reply:
        """Answer a request that is about the daemon itself."""
        match request:
            case protocol.Reload():
                return Reply(ok=True, result=self._reload())
            case protocol.Apply() | protocol.ApplyConfirm() | protocol.ApplyBack() | protocol.ApplyStatus():
                return Reply(ok=True, result=self._trial(request))
            case FleetStatus() | FleetTrust():
                return Reply(ok=True, result=self._fleet.answer(request))
            case protocol.ListsLoaded() | protocol.ListsStatus():
                return Reply(ok=True, result=self._lists(request))
        raise RequestError(f"{type(request).__name__} is an order")

    def _status(self) -> dict[str, Any]:
        pipeline = self._pipeline
        ledger = pipeline.ledger
        detectors = pipeline.policy.rules.detectors
        described = self._describe()
        origins = described.pop("detector_origins", {})
        return {
            "version": __version__,
            "is_native": native.extension is not None,
            **described,
            "detectors": [
                {
                    "name": detector.name,
                    "mode": detectors[detector.name].mode,
                    "maxretry": detector.limits.maxretry,
                    "findtime_s": detector.limits.findtime_s,
                    "bantime_s": detectors[detector.name].bantime_s,
                    "alerts": sum(pipeline.metrics.alerts[detector.name, *kind] for kind in product(Mode, Strength)),
                    "window_entries": sum(one.stats.entries for one in pipeline.counting_as(detector)),
                    "evicted_keys": sum(one.stats.evicted_keys for one in pipeline.counting_as(detector)),
                    "networks": show_network_rules(detectors[detector.name]),
                    "shadow": pipeline.shadows.describe(detector.name),
                    "from": origins.get(detector.name, ""),
                }
                for detector in pipeline.detectors
            ],
            "bans": {
                **{word: ledger.count(Mode.ENFORCE, strength) for strength, word in WORDS.items()},
                "observed": sum(ledger.count(Mode.OBSERVE, strength) for strength in Strength),
                "refused_by_kernel": pipeline.metrics.refused,
                "over_budget": pipeline.policy.budgets.refused_total,
                "over_budget_by_set": {
                    word: pipeline.policy.budgets[strength].refused_total for strength, word in WORDS.items()
                },
                "held_by": {one.label: ledger.count_by_rank()[one] for one in Rank},
                "no_room_for": [one.label for one in Rank if ledger.is_full_for(one)],
            },
            "allowlist": len(pipeline.guard.entries),
            "dropped": {
                name: {"packets": counter.packets, "bytes": counter.bytes}
                for name, counter in pipeline.table.counters().items()
            },
            "action": pipeline.action,
            "table": "in place" if pipeline.table.is_up else "not set up",
        }

    async def _top(self, request: protocol.Top) -> dict[str, Any]:
        """Look at one detector after the other, with the loop's other work in between."""
        limit = max(1, min(request.limit, protocol.MAX_TOP))
        sources = []
        for part in busiest(self._pipeline, limit):
            sources += part
            await let_others_work()
        return {
            "time_s": time.time(),
            "enforces": self._pipeline.enforces,
            "problems": self._describe()["problems"],
            "sources": closest(sources, limit),
            **activity(self._pipeline, self._samples()),
        }

    def _list(self, request: ListBans) -> Page:
        within = _network(request.within) if request.within else None
        return self._listings.page(request, within)

    def _why(self, request: Why) -> dict[str, Any]:
        network = _network(request.network)
        pipeline = self._pipeline
        now_s = time.time()
        bans = []
        around = {network}
        for ban in pipeline.ledger.covering(network):
            claims = pipeline.ledger.claims(ban.network, ban.strength)
            shown = [show_ban(claim, now_s) for claim in claims if claim.until_s > now_s]
            bans.append({**show_ban(ban, now_s), "kernel": self._kernel(ban), "claims": shown})
            around.add(ban.network.whole)
        offences = sorted(
            (offence for one in around for offence in self._history(one, _MAX_HISTORY)),
            key=lambda offence: offence.time_s,
        )
        foreign = pipeline.table.foreign.around(network, now_s)
        notes = pipeline.ledger.notes(network.address) if network.is_host else []
        told = {offence.time_s for offence in offences}
        history = [show_offence(offence) for offence in offences]
        history += [show_note(note) for note in notes if note.time_s not in told]
        return {
            "network": str(network),
            "pod": pipeline.pods.pod_of(network.address) if network.is_host else None,
            "pods_hit": pipeline.pod_hits.of(network.address) if network.is_host else {},
            "allowlist": show_entry(pipeline.guard.protects(network)),
            "action": pipeline.action,
            "bans": bans,
            "foreign": [show_foreign(one, now_s) for one in foreign[:_MAX_FOREIGN]],
            "lists": self._listed(network),
            "scraper": self._scraper(network),
            "pardon": self._fleet.pardon_of(network),
            "leaked": list(pipeline.table.leaked(network)),
            "rules": self._own_rules(network),
            "counting": self._counting(network) if network.is_host else [],
            "witnesses": self._witnesses(network.address) if network.is_host else {},
            "history": sorted(history, key=lambda shown: shown["time_s"])[-_MAX_HISTORY:],
        }

    def _kernel(self, ban: Ban) -> dict[str, Any] | None:
        """Say what the kernel holds of a ban, and what all enforcers stopped; None: nothing."""
        element = self._pipeline.table.lookup(ban) if ban.mode is Mode.ENFORCE else None
        stopped = self._pipeline.enforcers.stopped(ban) if element else None
        if element is None or stopped is None:
            return None
        return {"timeout_s": element.timeout_s, "packets": stopped.packets, "bytes": stopped.bytes}

    def _counting(self, network: Network) -> list[dict[str, Any]]:
        """Say how close an address is to each detector's threshold."""
        pipeline = self._pipeline
        counting = [(False, one) for one in pipeline.counting] + [(True, one) for one in pipeline.shadows.counting]
        return [
            {"detector": detector.name, "count": count, "maxretry": detector.limits.maxretry}
            | ({"is_shadow": True} if is_shadow else {})
            for is_shadow, detector in counting
            if (count := detector.count(network.address))
        ]

    def _witnesses(self, address: Address) -> dict[str, dict[str, int]]:
        """Say for each detector which sources saw how much of what its last alert about an address rests on."""
        return {detector.name: seen for detector in self._pipeline.counting if (seen := detector.witnesses(address))}

    def _own_rules(self, network: Network) -> list[dict[str, Any]]:
        """Say which detectors have rules of their own for a network, or for some of its addresses."""
        return [
            {"detector": name, **shown}
            for name, policy in self._pipeline.policy.rules.detectors.items()
            for shown in show_network_rules(policy, network)
        ]

    def _flush(self) -> dict[str, Any]:
        return {"ended": len(self._pipeline.flush(time.time()))}


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise RequestError(str(error)) from None
