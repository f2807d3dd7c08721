"""What people and programs learn of block lists: problems, notices, metrics, `why`."""

import time
from collections.abc import Iterator
from typing import Any

from monitor.control.protocol import ListsLoaded, ListsRequest
from monitor.daemon.lists.held import ListStanding
from monitor.daemon.lists.keeper import ListKeeper
from monitor.metrics.metric import Sample
from monitor.model.addresses import Network
from monitor.model.problems import Problem, ProblemKind, of_kind
from monitor.model.requirements import Part, PartKind, Requirement


class ListReport:
    """Asks a keeper."""

    def __init__(self, keeper: ListKeeper) -> None:
        """Take the one that knows."""
        self._keeper = keeper

    def problems(self) -> Iterator[Problem]:
        """Say what keeps lists from being in force as they should."""
        now_s = time.time()
        keeper = self._keeper
        if keeper.table_fault:
            yield Problem(ProblemKind.LISTS, f"the table inet nodewarden_lists: {keeper.table_fault}")
        yield from of_kind(ProblemKind.LISTS, (held.problem(now_s) for held in keeper.lists.values()))

    def parts(self) -> list[Part]:
        """Return what doctor says about lists; nothing without any."""
        if not self._keeper.lists:
            return []
        missing = "; ".join(one.text for one in self.problems())
        need = Requirement("block lists in force", missing, "nodewarden lists status; nodewarden lists update")
        return [Part("lists", PartKind.ENFORCER, is_wanted=True, requirements=[need])]

    def notices(self) -> Iterator[str]:
        """Say which lists were removed by an order."""
        now_s = time.time()
        for held in self._keeper.lists.values():
            if held.standing(now_s) is ListStanding.FLUSHED:
                yield f"block list {held.name} is off since `nodewarden flush`, until its next update or a reload"

    def describe(self) -> list[dict[str, Any]]:
        """Return what is known of each list, as plain data."""
        self._keeper.read_hits()
        now_s = time.time()
        return [held.describe(now_s) for held in self._keeper.lists.values()]

    def answer(self, request: ListsRequest) -> list[dict[str, Any]]:
        """Take that there are new copies, or say what is known; an object for each list."""
        if isinstance(request, ListsLoaded):
            return [{"name": name, "done": self._keeper.loaded(name)} for name in request.names]
        return self.describe()

    def about(self, network: Network) -> list[dict[str, Any]]:
        """Return the entries of lists that share addresses with a network, a few of each list."""
        now_s = time.time()
        return [entry for held in self._keeper.lists.values() for entry in held.about(network, now_s)]

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics of lists; those of none without lists."""
        self._keeper.read_hits()
        now_s = time.time()
        yield "nodewarden_lists_repairs_total", (), self._keeper.repairs_total
        for name, held in self._keeper.lists.items():
            header = held.header
            yield "nodewarden_list_entries", (name,), held.wanted.total if held.frame else 0
            yield "nodewarden_list_allowed_entries", (name,), held.spared
            yield "nodewarden_list_hits_total", (name,), held.hits.packets
            yield "nodewarden_list_age_seconds", (name,), max(0.0, now_s - header.fetched_s) if header else 0.0
            yield "nodewarden_list_expires_seconds", (name,), max(0.0, held.left_s(now_s))
            yield "nodewarden_list_fault", (name,), float(bool(held.problem(now_s)))
