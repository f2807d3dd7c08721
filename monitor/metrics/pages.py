"""What the metrics server serves: which page a request is for, and what the pages about health say. Pure.

`/livez` says that the main loop responds: restart a process that does not. `/healthz` says whether the guard works. A
source that cannot be read makes it unhealthy, and no restart repairs that, so liveness must not ask it.
"""

import enum
from collections.abc import Sequence

from monitor.metrics.http_message import HttpAnswer, HttpRequest, refusal
from monitor.model.problems import UNHEALTHY, Problem

_METHODS = ("GET", "HEAD")
_PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


class Page(enum.StrEnum):
    """The paths that are served."""

    METRICS = "/metrics"
    HEALTH = "/healthz"
    LIVE = "/livez"


_PAGES: dict[str, Page] = {page.value: page for page in Page}
_NOT_FOUND = refusal(404, "not found; served are " + ", ".join(Page))
_NOT_ALLOWED = refusal(405, "only GET and HEAD are served here", ("Allow", ", ".join(_METHODS)))


def page_of(request: HttpRequest) -> Page | HttpAnswer:
    """Return the page that a request is for, or why there is none; what follows `?` is ignored."""
    path = request.target.partition("?")[0]
    if "://" in path:  # the absolute form (RFC 9112, section 3.2.2)
        path = "/" + path.partition("://")[2].partition("/")[2]
    page = _PAGES.get(path)
    if page is None:
        return _NOT_FOUND
    return page if request.method in _METHODS else _NOT_ALLOWED


def is_open(request: HttpRequest) -> bool:
    """Whether a request needs no password: probes have none, and learn no more than kinds of problems."""
    return page_of(request) in (Page.HEALTH, Page.LIVE)


def live() -> HttpAnswer:
    """Return the answer of a loop that responds."""
    return HttpAnswer(200, _PLAIN, b"ok\n")


def stuck() -> HttpAnswer:
    """Return the answer while the loop does not respond."""
    return HttpAnswer(503, _PLAIN, b"the main loop does not respond\n")


def health(problems: Sequence[Problem], *, shows_texts: bool) -> HttpAnswer:
    """Return whether the guard works, and which problems keep it from that; without texts, only their kinds."""
    found = [one for one in problems if one.kind in UNHEALTHY]
    if not found:
        return HttpAnswer(200, _PLAIN, b"ok\n")
    lines = [f"{one.kind}: {' '.join(one.text.split())}" if shows_texts else str(one.kind) for one in found]
    return HttpAnswer(503, _PLAIN, "\n".join(("unhealthy", *dict.fromkeys(lines), "")).encode(errors="replace"))
