"""Answers from the history: read by a thread of its own, so that neither the loop nor saving waits for it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.control.protocol import MAX_HISTORY_PAGE, History, Report
from monitor.daemon.control.presentation import show_offence
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Standing
from monitor.model.errors import NodewardenError
from monitor.model.retry import Worker
from monitor.state.history import HistoryQuery, reading

_NETWORKS = ("sources", "known", "prefixes")
_MAX_S = 1e12
"""Times beyond are no times; SQLite takes them, a calendar does not."""


class HistoryRequestError(NodewardenError):
    """The request cannot be met; the message is for whoever sent it."""


class HistoryAnswers:
    """Reads pages and reports; at most one at a time."""

    def __init__(self, path: Path, standing: Callable[[Network], Standing | None]) -> None:
        """Read the file at `path`; `standing` says on the loop what makes a network no stranger now."""
        self._path = path
        self._standing = standing
        self._worker = Worker("history")

    async def answer(self, request: History | Report) -> dict[str, Any]:
        """Answer a request; NodewardenError says why not."""
        work = page if isinstance(request, History) else report
        result = await asyncio.wrap_future(self._worker.submit(work, self._path, request))
        if isinstance(request, Report):
            for one in (*result["sources"], *result["known"]):
                one["standing_now"] = self._standing(parse_network(one["network"]))
        return result

    def close(self) -> None:
        """Read no more."""
        self._worker.shutdown(cancel=True)


def page(path: Path, request: History | Report) -> dict[str, Any]:
    """Return a page of the history in the file at `path`; NodewardenError."""
    assert isinstance(request, History)  # noqa: S101 - see `answer`
    limit = max(1, min(request.limit, MAX_HISTORY_PAGE))
    with reading(path) as reader:
        entries, before = reader.page(_query(request), request.before, limit)
    return {"entries": [{"network": str(one.network), **show_offence(one)} for one in entries], "before": before}


def report(path: Path, request: History | Report) -> dict[str, Any]:
    """Return what the history in the file at `path` amounts to; NodewardenError."""
    with reading(path) as reader:
        result = reader.report(_query(request))
    for part in _NETWORKS:
        for one in result[part]:
            one["network"] = str(one["network"])
    return {"since_s": request.since_s, "until_s": request.until_s, **result}


def _query(request: History | Report) -> HistoryQuery:
    if not -_MAX_S < request.since_s <= request.until_s < _MAX_S:
        raise HistoryRequestError("the history has nothing between these times: --since must lie before --until")
    try:
        source = parse_network(request.source) if request.source else None
    except ValueError as error:
        raise HistoryRequestError(str(error)) from None
    return HistoryQuery(request.since_s, request.until_s, request.not_banned, request.detector, source)
