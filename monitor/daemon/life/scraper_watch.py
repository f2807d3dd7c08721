"""Protects who monitors this node, and reports it where one is banned: a guard that bans its Prometheus goes unseen.

Internal clients that scrape metrics regularly are on the allowlist for an hour after their last scrape, as sessions of
administrators are. Others are so only if `bans.protect.scrapers` is `all`. A client that is not protected and gets
banned is a problem for as long as the ban lasts.
"""

import enum
import time
from collections.abc import Callable, Iterable, Iterator

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model import ports
from monitor.model.addresses import Address, Network, format_address, host, parse_address
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, Mode
from monitor.model.errors import SYSTEM_FAULTS, NodewardenError
from monitor.model.problems import Problem, ProblemKind
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.requirements import Part, PartKind, Requirement
from monitor.model.saved_rows import SavedRow
from monitor.node.scrapers import Client, Scrapers
from monitor.settings.bans import ProtectedScrapers

MAX_PROTECTED = 16
REASON = "it scrapes the metrics of this node (bans.protect.scrapers)"
_MAX_NAMED = 3
_SAVED_TO_S = 60.0
"""How exactly times are saved: each scrape would otherwise be a write to disk."""


_IRREGULAR = b"irregular"
"""Saved with a client that is kept only because it is banned: a restart must not protect it."""


class ScraperState(enum.StrEnum):
    """What becomes of a client that monitors this node: a closed set, used as a metric label."""

    PROTECTED = "protected"
    UNPROTECTED = "unprotected"
    BANNED = "banned"


class ScraperWatch:
    """Knows the clients of the metrics server; `entries` are those to protect."""

    def __init__(
        self,
        pipeline: Pipeline,
        protected: ProtectedScrapers,
        port: int,
        follow: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`follow` puts changed `entries` into force, and raises if it cannot; `port` is that of the metrics."""
        self._pipeline = pipeline
        self._protected = protected
        self._port = ports.pack([(PROTOCOL_TCP, port)])
        self._follow = follow
        self._clock = clock
        self._internal, self._others = Scrapers(), Scrapers()
        self.entries: list[AllowEntry] = []
        self.banned: dict[Address, Ban] = {}
        """Clients that are banned, with the ban."""
        self.has_news = False
        """Whether a tick has to see who is to be protected: a client has turned out to ask regularly."""

    def reconfigure(self, protected: ProtectedScrapers) -> None:
        """Follow a changed setting, with the next tick."""
        self._protected = protected

    def note(self, peer: str) -> None:
        """Take in that a client got metrics, or asked for the health."""
        address = parse_address(peer.partition("%")[0])
        if not _is_loopback(address):
            self.has_news |= self._table_of(address).note(address, self._clock())

    def _table_of(self, address: Address) -> Scrapers:
        return self._internal if address in self._pipeline.surrounding.internal else self._others

    def export(self, limit: int) -> list[SavedRow]:
        """Return the clients that a restart must not forget, since one that is banned cannot ask again."""
        offset_s = time.time() - self._clock()
        kept = {*self._regular(), *self.banned}
        rows = [
            (address, b"" if one.is_regular else _IRREGULAR, round((one.last_s + offset_s) / _SAVED_TO_S) * _SAVED_TO_S)
            for table in (self._internal, self._others)
            for address, one in table.clients.items()
            if address in kept
        ]
        return rows[:limit]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know the clients of an earlier run; those that are neither banned nor recent are forgotten with a tick."""
        for address, what, last_s in rows:
            if len(address) in (4, 16):
                age_s = max(0.0, now_s - last_s)
                self._table_of(address).restore(address, self._clock() - age_s, is_regular=what != _IRREGULAR)

    def tick(self) -> None:
        """Protect who is to be protected, and look for who is banned; call it each second."""
        self.has_news = False
        if not (self._internal.clients or self._others.clients or self.entries or self.banned):
            return
        self._find_banned()
        now_s = self._clock()
        for table in (self._internal, self._others):
            table.forget(now_s, kept=set(self.banned))
        entries = [AllowEntry(host(address), REASON) for address in sorted(self._to_protect())]
        if entries != self.entries:
            before, self.entries = self.entries, entries
            try:
                self._follow()
            except (NodewardenError, *SYSTEM_FAULTS):
                self.entries = before  # tried again with the next tick
                raise

    def _to_protect(self) -> list[Address]:
        """Return the clients to protect: those that are internal, then others if the setting says so."""
        if self._protected is ProtectedScrapers.NONE:
            return []
        found = [*self._internal.regular()]
        if self._protected is ProtectedScrapers.ALL:
            found += self._others.regular()
        return found[:MAX_PROTECTED]

    def _find_banned(self) -> None:
        """Find the bans of clients. Of strangers only those count that asked regularly: anyone can ask once."""
        wanted = [*self._internal.clients, *self._others.regular()]
        found = ((address, self._ban_of(host(address))) for address in wanted)
        self.banned = {address: ban for address, ban in found if ban}

    def _ban_of(self, network: Network) -> Ban | None:
        """Return the ban that keeps an address from scraping."""
        for ban in self._pipeline.ledger.covering(network):
            is_from = ban.mode is Mode.ENFORCE and ban.strength is not Strength.DESTINATION
            if is_from and ports.covers(ban.network.ports, self._port):
                return ban
        return None

    def _regular(self) -> list[Address]:
        return [*self._internal.regular(), *self._others.regular()]

    def problems(self) -> Iterator[Problem]:
        """Say which clients are banned."""
        if self.banned:
            named = [f"{format_address(one)} ({ban.detector})" for one, ban in self.banned.items()]
            more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
            text = (
                f"a client that monitors this node is banned: {', '.join(named[:_MAX_NAMED])}{more}: "
                "see `nodewarden why ADDRESS`, and add it to bans.allowlist if it is yours"
            )
            yield Problem(ProblemKind.SCRAPER_BANNED, text)

    def notices(self) -> list[str]:
        """Say which clients could be banned, and whether there are too many."""
        known = {entry.network for entry in self.entries}
        guard = self._pipeline.guard
        exposed = [
            format_address(one)
            for one in self._regular()
            if host(one) not in known and one not in self.banned and guard.protects(host(one)) is None
        ]
        notices = []
        if exposed:
            more = f" and {len(exposed) - _MAX_NAMED} more" if len(exposed) > _MAX_NAMED else ""
            named = ", ".join(exposed[:_MAX_NAMED]) + more
            notices.append(f"{named} scrapes metrics and can be banned: add it to bans.allowlist if it is yours")
        if refused := self._internal.refused_total + self._others.refused_total:
            notices.append(f"{refused} clients of the metrics server were not noted: too many ask regularly")
        return notices

    def part(self) -> Part:
        """Return what doctor says about it."""
        missing = "; ".join(one.text for one in self.problems())
        repair = "nodewarden allow add ADDRESS --reason Prometheus   # and add it to bans.allowlist"
        return Part(
            "scrapers",
            PartKind.PROTECTION,
            is_wanted=True,
            requirements=[Requirement("monitors not banned", missing, repair)],
        )

    def describe(self, network: Network) -> dict[str, float | bool] | None:
        """Return how long ago an address scraped last, and whether it is banned; None if it did not."""
        client: Client | None = None
        if network.is_host:
            address = network.address
            client = self._internal.clients.get(address) or self._others.clients.get(address)
        if client is None:
            return None
        return {"ago_s": self._clock() - client.last_s, "is_banned": network.address in self.banned}

    def samples(self) -> Iterator[Sample]:
        """Yield how many clients there are, by what becomes of them."""
        regular = set(self._regular())
        protected = {one for one in regular if self._pipeline.guard.protects(host(one))}
        counts = {
            ScraperState.PROTECTED: len(protected),
            ScraperState.UNPROTECTED: len(regular - protected - set(self.banned)),
            ScraperState.BANNED: len(self.banned),
        }
        for state, count in counts.items():
            yield "nodewarden_scrapers", (state,), count


def _is_loopback(address: Address) -> bool:
    return address[0] == 127 if len(address) == 4 else not any(address[:15]) and address[15] <= 1
