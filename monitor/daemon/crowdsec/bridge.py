"""CrowdSec in the daemon: nothing but this small part while `crowdsec.url` is empty."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from monitor.bans.decision import Decision, Ended
from monitor.crowdsec.settings import CrowdsecSettings, is_of_lapi
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model.addresses import host, parse_address
from monitor.model.bans import AllowEntry, ClaimOrigin, Mode
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.problems import Problem, ProblemKind
from monitor.model.requirements import Part, PartKind, Requirement

if TYPE_CHECKING:
    from monitor.daemon.crowdsec.hand_over import HandOver
    from monitor.daemon.crowdsec.link import Direction, Link

REASON = "CrowdSec's LAPI"
"""Why the address of LAPI is on the allowlist."""


class Crowdsec(Listener):
    """Follows the settings, and says how the exchange is going."""

    name = "crowdsec"

    def __init__(self, settings: CrowdsecSettings, failed: Callable[[str, Exception], None]) -> None:
        """Nothing is opened yet. `failed` takes faults of our own."""
        self._settings = settings
        self._failed = failed
        self._link: Link | None = None
        self._hand_over: HandOver | None = None
        self._pipeline: Pipeline | None = None
        self._follow_entries: Callable[[], None] = lambda: None
        self.entries: list[AllowEntry] = []
        """The address of LAPI, which must not be banned."""

    def open(self, pipeline: Pipeline, follow_entries: Callable[[], None]) -> None:
        """Begin. Bans of an earlier run are in force by now; `follow_entries` puts changed `entries` into force."""
        self._pipeline = pipeline
        self._follow_entries = follow_entries
        self._begin(is_believed=False)

    def close(self) -> None:
        """Begin nothing further; what is in force stays."""
        if self._link:
            self._link.close()

    def reconfigure(self, settings: CrowdsecSettings) -> None:
        """Follow changed settings."""
        if settings == self._settings or self._pipeline is None:
            return
        self.close()
        self._link = None
        self._settings = settings
        if self._hand_over:
            self._hand_over.drop()
        self._begin(is_believed=True)

    def _begin(self, *, is_believed: bool) -> None:
        pipeline, settings = self._pipeline, self._settings
        assert pipeline is not None  # noqa: S101 - `open` comes first
        elsewhere = (ClaimOrigin.LIST, ClaimOrigin.PEER)
        left = [] if settings.pulls else list(filter(is_of_lapi, pipeline.ledger.claims_from(elsewhere)))
        if not (settings.pulls or settings.pushes or left):
            return
        from monitor.daemon.crowdsec.hand_over import HandOver
        from monitor.daemon.crowdsec.link import Link

        self._hand_over = self._hand_over or HandOver(pipeline, asyncio.get_running_loop().call_soon)
        if left:  # nobody would ever end these
            places = [(claim.key, claim.detector) for claim in left]
            self._hand_over.take(places, mode=Mode.OBSERVE, longest_s=0.0)
        if settings.pulls or settings.pushes:
            self._link = Link(settings, pipeline, self._hand_over, self._failed, is_believed=is_believed)

    def poll(self) -> None:
        """Do what is due each second."""
        if self._link is None:
            self._protect("")
            return
        self._link.tick()
        self._protect(self._link.peer)

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Have new bans pushed."""
        if self._link and self._settings.pushes:
            self._link.outbox.settled(decisions)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Have withdrawn bans forgotten by LAPI."""
        if self._link and self._settings.pushes:
            self._link.outbox.ended(ended)

    def problems(self) -> Iterator[Problem]:
        """Yield what keeps us from pulling or pushing."""
        now_s = time.monotonic()
        for direction in self._directions():
            if text := direction.problem(now_s):
                what = "pulled from" if direction.name == "pull" else "pushed to"
                stays = "; bans stay until their end" if direction.name == "pull" else "; bans here are not affected"
                text = f"nothing is {what} CrowdSec's LAPI ({self._settings.url}): {text}{stays}"
                yield Problem(ProblemKind.CROWDSEC, text)
        is_enforced = self._settings.mode is Mode.ENFORCE
        if self._link and is_enforced and (surplus := self._link.surplus):
            text = f"CrowdSec's LAPI has {surplus} decisions more than are held (crowdsec.max_decisions)"
            yield Problem(ProblemKind.CROWDSEC, text)
        if self._link and (dropped := self._link.outbox.dropped_total):
            yield Problem(ProblemKind.CROWDSEC, f"{dropped} bans or unbans were never pushed to CrowdSec's LAPI")

    def notices(self) -> Iterator[str]:
        """Yield how the exchange is going, in a line."""
        if self._link is None:
            return
        link, parts, now_s = self._link, [], time.monotonic()
        if self._settings.pulls:
            mode = "only observed" if self._settings.mode is Mode.OBSERVE else "enforced"
            age = f"read {now_s - link.pull.done_s:.0f} s ago" if link.pull.done_s > 0 else "not read yet"
            surplus = f" ({link.surplus} more are not: there is little room while observing)" if link.surplus else ""
            parts.append(f"{link.held} decisions held{surplus}, {mode}, {age}")
        if self._settings.pushes:
            parts.append(f"{link.pushed_total} bans pushed, {link.deleted_total} withdrawn, {len(link.outbox)} waiting")
        yield f"CrowdSec's LAPI at {self._settings.url}: {'; '.join(parts)}"

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics; nothing while it is off."""
        if self._link is None or self._hand_over is None:
            return
        for direction in self._directions():
            yield "nodewarden_crowdsec_up", (direction.name,), float(direction.failure is None)
            for cause, count in direction.failures.items():
                yield "nodewarden_crowdsec_failures_total", (direction.name, cause), count
        yield "nodewarden_crowdsec_decisions", (), self._link.held
        for outcome in self._hand_over.all_outcomes:
            yield "nodewarden_crowdsec_pulled_total", (outcome,), self._hand_over.outcomes[outcome]
        yield "nodewarden_crowdsec_pushed_total", ("ban",), self._link.pushed_total
        yield "nodewarden_crowdsec_pushed_total", ("unban",), self._link.deleted_total
        yield "nodewarden_crowdsec_push_waiting", (), len(self._link.outbox)
        yield "nodewarden_crowdsec_push_dropped_total", (), self._link.outbox.dropped_total

    def part(self) -> Part:
        """Return what doctor says."""
        needed = [
            Requirement(
                f"LAPI answers ({direction.name})",
                str(direction.failure or ""),
                f"curl -sS {self._settings.url}/v1/heartbeat; see docs/crowdsec.md",
            )
            for direction in self._directions()
        ]
        return Part("crowdsec", PartKind.SERVICE, is_wanted=bool(needed), requirements=needed, is_optional=True)

    def _directions(self) -> list[Direction]:
        if self._link is None:
            return []
        wanted = ((self._link.pull, self._settings.pulls), (self._link.push, self._settings.pushes))
        return [direction for direction, is_wanted in wanted if is_wanted]

    def _protect(self, peer: str) -> None:
        """Have LAPI on the allowlist: banned, it could not be asked any more."""
        address = peer.partition("%")[0]
        is_other = bool(address) and not ipaddress.ip_address(address).is_loopback
        entries = [AllowEntry(host(parse_address(address)), REASON)] if is_other else []
        if entries != self.entries and (entries or self._link is None):
            before, self.entries = self.entries, entries
            try:
                self._follow_entries()
            except SYSTEM_FAULTS:
                self.entries = before  # tried again with the next poll
                raise
