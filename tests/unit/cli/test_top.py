"""The screen of `nodewarden top`: what it shows at 80x24, and that no order is given without a yes."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import CliRunner

from monitor.cli.top import top
from monitor.cli.top_screen import TopScreen, _rates
from monitor.control import protocol
from monitor.control.client import NotRunning
from monitor.control.protocol import AllowAdd, BanOrder, Request, Unban

_HOSTILE = "\x1b[2J\x07\u202e\nx[bold red]"


def _look(text: str = "192.0.2.7", dropped: int = 0, time_s: float = 100.0) -> dict[str, Any]:
    source = {"network": text, "detector": "sshd", "mode": "observe", "count": 4, "maxretry": 5, "status": ""}
    return {
        "time_s": time_s,
        "enforces": True,
        "problems": [f"the journal cannot be read: {text}"],
        "sources": [source, source | {"network": "192.0.2.9", "count": 1, "status": "allowlisted"}],
        "dropped_packets": {"NO_SOCKET": dropped, text: dropped},
        "pod_dropped_packets": {f"shop/{text}": dropped},
        "lag_s": {"journal": 0.012},
        "bans": {"ban": 3, "shun": 0, "egress": 0},
    }


class Peer:
    """Stands where the daemon's socket would be."""

    def __init__(self, text: str = "192.0.2.7") -> None:
        self.text = text
        self.is_gone = False
        self.orders: list[Request] = []
        self.looks = 0

    def ask(self, request: Request) -> Any:
        """Answer a request."""
        if self.is_gone:
            raise NotRunning("nodewarden does not answer")
        match request:
            case protocol.Top():
                self.looks += 1
                return _look(self.text, dropped=10 * self.looks, time_s=100.0 + 2.0 * self.looks)
            case protocol.Events():
                flood = {"number": 1, "time_s": 0.0, "event": "flood", "detector": "syn_rate", "text": self.text}
                return {"run": "1", "last": 1, "more": False, "lost": 0, "events": [] if request.after else [flood]}
            case protocol.Why():
                return {
                    "network": request.network, "allowlist": None, "bans": [], "foreign": [], "leaked": [],
                    "counting": [], "witnesses": {}, "history": [],
                }  # fmt: skip
        self.orders.append(request)
        return [{"network": self.text, "done": True, "text": "banned"}]


def _screen(app: TopScreen) -> list[str]:
    """Return the lines of the terminal."""
    return ["".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()]


def _drive(peer: Peer, act: Callable[[TopScreen, Any], Awaitable[None]]) -> None:
    async def run() -> None:
        app = TopScreen(peer, _look(peer.text))  # type: ignore[arg-type]  # it only asks
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await act(app, pilot)

    asyncio.run(run())


def test_everything_fits_into_a_small_terminal() -> None:
    """Mode, problems, sources with their way to the threshold, events, drops, pods, lag and the keys: in 80x24."""

    async def look(app: TopScreen, pilot: Any) -> None:
        lines = _screen(app)
        shown = "\n".join(lines)
        assert len(lines) == 24
        for part in (
            "enforcing", "bans: 3 ban", "PROBLEM: the journal cannot be read", "sshd (observes)", "4 of 5", "80%",
            "allowlisted", "flood (syn_rate)", "DROPS/S", "5.0 NO_SOCKET", "shop/192.0.2.7", "12.0 ms journal",
            "why", "ban", "unban", "allow", "quit",
        ):  # fmt: skip
            assert part in shown, (part, shown)

    _drive(Peer(), look)


@pytest.mark.parametrize(
    ("key", "order"), [("b", BanOrder), ("u", Unban), ("a", AllowAdd)], ids=["ban", "unban", "allow"]
)
def test_no_order_without_a_yes(key: str, order: type[Request]) -> None:
    """A key asks first: `n` and escape leave it at that, `y` orders it for the network under the cursor."""
    peer = Peer()

    async def press(app: TopScreen, pilot: Any) -> None:
        for refusal in ("n", "escape"):
            await pilot.press(key)
            await pilot.press(refusal)
        assert peer.orders == []
        await pilot.press("down", key)
        await pilot.pause()
        assert "192.0.2.9" in "\n".join(_screen(app))
        await pilot.press("y")
        await app.workers.wait_for_complete()

    _drive(peer, press)
    assert [type(one) for one in peer.orders] == [order]
    assert "192.0.2.9" in str(peer.orders[0])


def test_the_cursor_stays_on_its_network() -> None:
    """Rows come and go while somebody looks at one: an order must not hit another."""
    peer = Peer()

    async def move(app: TopScreen, pilot: Any) -> None:
        await pilot.press("down")
        first, second = _look()["sources"]
        app._show(
            _look() | {"sources": [first | {"network": "192.0.2.50"}, first, second]}, app._target.ask(_events(1))
        )
        await pilot.press("u", "y")
        await app.workers.wait_for_complete()

    _drive(peer, move)
    assert peer.orders == [Unban(["192.0.2.9"])]


def test_a_question_stays_about_its_network() -> None:
    """The row under the cursor vanishes while the question is open: the answer is for what was asked."""
    peer = Peer()

    async def move(app: TopScreen, pilot: Any) -> None:
        await pilot.press("u")
        app._show(_look() | {"sources": []}, app._target.ask(_events(1)))
        await pilot.press("y")
        await app.workers.wait_for_complete()

    _drive(peer, move)
    assert peer.orders == [Unban(["192.0.2.7"])]


def test_nothing_is_selected_in_empty_tables() -> None:
    """Without a row there is nothing to order, and the screen says so."""
    peer = Peer()

    async def empty(app: TopScreen, pilot: Any) -> None:
        app._show(_look() | {"sources": []}, app._target.ask(_events(1)))
        await pilot.press("b")
        await pilot.pause()
        assert any("select a row" in one.message for one in app._notifications)

    _drive(peer, empty)
    assert peer.orders == []


def test_text_of_others_is_escaped() -> None:
    """Neither the terminal nor the markup of the library obeys what attackers wrote."""

    async def look(app: TopScreen, pilot: Any) -> None:
        shown = "\n".join(_screen(app))
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\\x1b[2J" in shown
        await pilot.press("w")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "is not banned" in "\n".join(_screen(app))
        await pilot.press("escape", "b", "y")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "\x1b" not in "\n".join(_screen(app))

    _drive(Peer(_HOSTILE), look)


def test_a_daemon_that_is_gone_is_waited_for() -> None:
    """The screen says so, and goes on when it is back."""
    peer = Peer()

    async def lose(app: TopScreen, pilot: Any) -> None:
        peer.is_gone = True
        app._ask()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "waiting for the daemon" in "\n".join(_screen(app))
        peer.is_gone = False
        app._ask()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "waiting for the daemon" not in "\n".join(_screen(app))

    _drive(peer, lose)


def test_a_busy_daemon_is_asked_once() -> None:
    """What it has not answered yet is not asked again, every two seconds."""
    gate = threading.Event()

    class Busy(Peer):
        def ask(self, request: Request) -> Any:
            answer = super().ask(request)
            gate.wait()
            return answer

    async def wait(app: TopScreen, pilot: Any) -> None:
        for _ in range(3):
            app._ask()
            await pilot.pause()
        gate.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert peer.looks == 1
        app._ask()
        await app.workers.wait_for_complete()
        assert peer.looks == 2

    async def run() -> None:
        app = TopScreen(peer, _look())  # type: ignore[arg-type]  # it only asks
        async with app.run_test(size=(80, 24)) as pilot:
            await wait(app, pilot)

    peer = Busy()
    asyncio.run(run())


def test_the_latest_of_many_events_are_shown_at_once() -> None:
    """A busy node has more pages of events than there are looks."""

    class Eventful(Peer):
        def ask(self, request: Request) -> Any:
            if not isinstance(request, protocol.Events):
                return super().ask(request)
            last = min(request.after + 256, 2048)
            floods = [
                {"number": number, "time_s": 0.0, "event": "flood", "detector": "syn_rate", "text": f"flood {number}"}
                for number in range(request.after + 1, last + 1)
            ]
            return {"run": "1", "last": last, "more": len(floods) == 256, "lost": 0, "events": floods}

    async def look(app: TopScreen, _: Any) -> None:
        assert "flood 2048" in "\n".join(_screen(app))
        assert len(app._lines) == 200

    _drive(Eventful(), look)


def test_paused_rows_stay() -> None:
    """Space stops asking, and goes on."""
    peer = Peer()

    async def pause(app: TopScreen, pilot: Any) -> None:
        await pilot.press("space")
        looks = peer.looks
        app._ask()
        await app.workers.wait_for_complete()
        assert peer.looks == looks
        await pilot.press("space")
        app._ask()
        await app.workers.wait_for_complete()
        assert peer.looks > looks

    _drive(peer, pause)


def test_a_counter_that_started_anew_is_no_rate() -> None:
    """After a restart of the daemon counts are lower than before."""
    assert _rates("DROPS/S", {"NO_SOCKET": 5}, {"NO_SOCKET": 900}, 2.0) == "DROPS/S\nnone"
    assert _rates("DROPS/S", {"NO_SOCKET": 5}, {}, 0.0) == "DROPS/S\nnone"


def test_one_look_without_a_terminal() -> None:
    """In a pipe the command prints what a screen would start with."""
    done = CliRunner().invoke(top, obj=Peer(), catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("enforcing; bans: 3 ban, 0 shun, 0 egress\nPROBLEM: ")
    assert "192.0.2.7  sshd      4      5" in done.output
    assert done.output.endswith("\nlag: journal 12.0 ms\n")


def test_one_look_on_a_dumb_terminal() -> None:
    """A terminal that would print the codes of a screen gets lines, as a pipe does."""
    program = "from tests.unit.cli.test_top import Peer; from monitor.cli.top import top; top(obj=Peer(), args=[])"
    terminal, inside = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=inside,
        stdout=inside,
        env=os.environ | {"TERM": "dumb"},
    ) as process:
        os.close(inside)
        written = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(terminal, 65536):
                written += piece
        os.close(terminal)
    assert process.returncode == 0
    assert b"192.0.2.7  sshd      4      5" in written
    assert b"\x1b[?" not in written


def _events(after: int) -> Request:
    return protocol.Events(after)
