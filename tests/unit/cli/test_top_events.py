"""The events that `nodewarden top` shows: the newest at once, each one once."""

import asyncio
import threading
from typing import Any

from monitor.cli.top_screen import TopScreen
from monitor.control import protocol
from monitor.control.protocol import Request
from tests.unit.cli.test_top import Peer, _drive, _look, _screen


def test_the_newest_events_are_there_at_once() -> None:
    """The daemon answers in pages, the oldest first, but a screen opened during an attack shows what happens now."""
    peer, ask = Peer(), Peer().ask
    kept = [
        {"number": number, "time_s": 0.0, "event": "flood", "detector": "syn_rate", "text": f"flood {number}"}
        for number in range(1, 2049)
    ]

    def answer(request: Request) -> Any:
        if not isinstance(request, protocol.Events):
            return ask(request)
        page = kept[request.after : request.after + protocol.MAX_EVENTS_PAGE]
        more = len(page) == protocol.MAX_EVENTS_PAGE
        return {"run": "1", "last": request.after + len(page), "more": more, "lost": 0, "events": page}

    peer.ask = answer  # type: ignore[method-assign]

    async def look(app: TopScreen, pilot: Any) -> None:
        assert any("flood 2048" in line for line in _screen(app))
        assert len(app._lines) == 200
        kept.append(kept[0] | {"number": 2049, "text": "flood 2049"})
        app._ask()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert [line[0].rpartition(" ")[2] for line in app._lines[:2]] == ["2049", "2048"]

    _drive(peer, look)


def test_a_slow_daemon_is_asked_one_thing_at_a_time() -> None:
    """While it has not answered it is not asked again, and no event is shown twice."""
    peer, may_answer = Peer(), threading.Event()
    ask = peer.ask

    def slowly(request: Request) -> Any:
        if isinstance(request, protocol.Events):
            may_answer.wait()
            flood = {"number": 1, "time_s": 0.0, "event": "flood", "detector": "syn_rate", "text": "once"}
            return {"run": "1", "last": 1, "more": False, "lost": 0, "events": [] if request.after else [flood]}
        return ask(request)

    peer.ask = slowly  # type: ignore[method-assign]

    async def wait(app: TopScreen, pilot: Any) -> None:
        for _ in range(3):
            app._ask()
        may_answer.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert [line[0].count("once") for line in app._lines] == [1]
        looks = peer.looks
        app._ask()
        await app.workers.wait_for_complete()
        assert peer.looks == looks + 1

    async def run() -> None:
        app = TopScreen(peer, _look())  # type: ignore[arg-type]  # it only asks
        async with app.run_test(size=(80, 24)) as pilot:
            await wait(app, pilot)

    asyncio.run(run())
