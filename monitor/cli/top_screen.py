"""The screen of `nodewarden top`, for terminals from 80x24."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from monitor.cli import events, show, why
from monitor.cli.mode_line import short_mode_line
from monitor.cli.target import Target
from monitor.control.protocol import AllowAdd, BanOrder, Request, RequestedBan, Top, Unban, Why
from monitor.model.errors import NodewardenError
from monitor.model.printable import printable, printable_lines

_EVERY_S = 2.0
_BANTIME_S = 3600.0
_MOST_EVENTS = 200
_MOST_REASONS = 5
_BAR = 10
_BY = "ordered in nodewarden top"


class TopScreen(App[None]):
    """Asks the daemon every two seconds, in a thread, and shows the answer; orders are asked for twice."""

    CSS = """
    #head { height: 1; text-style: bold; }
    #problem { height: auto; max-height: 2; color: red; }
    #sources { height: 2fr; }
    #events { height: 1fr; min-height: 5; }
    #rates { height: 6; }
    #rates Static { width: 1fr; padding-right: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "why", "why"),
        Binding("b", "order('ban')", "ban 1h"),
        Binding("u", "order('unban')", "unban"),
        Binding("a", "order('allow')", "allow"),
        Binding("space", "pause", "pause"),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, target: Target, first: dict[str, Any]) -> None:
        """Take the daemon to ask, and what it answered first."""
        super().__init__()
        self._target = target
        self._last = first
        self._run, self._after = "", 0
        self._lines: list[tuple[str, ...]] = []
        self._is_paused = self._is_asking = False
        self._networks: dict[str, list[str]] = {"sources": [], "events": []}

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="head")
        yield Static(id="problem")
        yield DataTable(id="sources", cursor_type="row")
        yield DataTable(id="events", cursor_type="row", show_header=False)
        with Horizontal(id="rates"):
            yield Static(id="drops")
            yield Static(id="pods")
            yield Static(id="lag")
        yield Footer()

    def on_mount(self) -> None:
        """Show the first answer, and ask again and again."""
        self._table("sources").add_columns("NETWORK", "DETECTOR", "COUNT", "TO THRESHOLD", "STATUS")
        self._table("events").add_columns("EVENT")
        self._show(self._last, {"events": [], "run": "", "last": 0})
        self._ask()
        self.set_interval(_EVERY_S, self._ask)

    def _table(self, name: str) -> DataTable[Text]:
        return self.query_one(f"#{name}", DataTable)

    def _line(self, name: str, text: str) -> None:
        self.query_one(f"#{name}", Static).update(Text(text, no_wrap=name != "problem", overflow="ellipsis"))

    def _ask(self) -> None:
        """Ask, unless a busy daemon still owes the last answer: more questions would make it busier."""
        if not (self._is_paused or self._is_asking):
            self._is_asking = True
            self.run_worker(self._poll, thread=True)

    def _poll(self) -> None:
        """Ask the daemon; in a thread of its own, since a busy daemon may take seconds."""
        try:
            result = self._target.ask(Top())
            page = events.all_after(self._target, self._after)
            if self._run and page["run"] != self._run:
                page = events.all_after(self._target, 0)
            self.call_from_thread(self._show, result, page)
        except NodewardenError as error:
            self.call_from_thread(self._line, "problem", f"waiting for the daemon: {printable(str(error))}")
        finally:
            self._is_asking = False

    def _show(self, result: dict[str, Any], page: dict[str, Any]) -> None:
        paused = "  PAUSED" if self._is_paused else ""
        self._line("head", f"nodewarden  {short_mode_line(result)}  {show.moment(result['time_s'])[11:19]}{paused}")
        problems = result["problems"]
        self._line("problem", f"PROBLEM: {printable(show.first(problems))}" if problems else "")
        self._show_sources(result["sources"])
        self._show_events(page)
        elapsed_s = result["time_s"] - self._last["time_s"]
        for part, title, name in (
            ("drops", "DROPS/S", "dropped_packets"),
            ("pods", "DROPS/S OF PODS", "pod_dropped_packets"),
        ):
            self._line(part, _rates(title, result[name], self._last[name], elapsed_s))
        lag = sorted(result["lag_s"].items(), key=lambda one: -one[1])[:_MOST_REASONS]
        self._line("lag", "\n".join(["LAG", *(f"{value * 1000:8.1f} ms {printable(name)}" for name, value in lag)]))
        self._last = result

    def _show_sources(self, sources: list[dict[str, Any]]) -> None:
        rows = [
            (
                one["network"],
                one["detector"] + (" (observes)" if one["mode"] == "observe" else ""),
                f"{one['count']} of {one['maxretry']}",
                _bar(one["count"] / one["maxretry"]),
                one["status"],
            )
            for one in sources
        ]
        self._fill("sources", rows, [one["network"] for one in sources])

    def _show_events(self, page: dict[str, Any]) -> None:
        if page["run"] != self._run:
            self._networks["events"], self._lines = [], []
        self._run, self._after = page["run"], page["last"]
        if not page["events"] and self._lines:
            return
        latest = page["events"][-_MOST_EVENTS:]
        newest = [(events.line(event)[11:],) for event in reversed(latest)]
        networks = [event.get("network", "") for event in reversed(latest)]
        self._lines = (newest + self._lines)[:_MOST_EVENTS]
        self._fill("events", self._lines, (networks + self._networks["events"])[:_MOST_EVENTS])

    def _fill(self, name: str, rows: Sequence[tuple[str, ...]], networks: list[str]) -> None:
        """Replace the rows of a table; the cursor stays on its network."""
        table = self._table(name)
        chosen = self._chosen(name)
        table.clear()
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._networks[name] = networks
        if chosen in networks:
            table.cursor_coordinate = Coordinate(networks.index(chosen), 0)

    def _chosen(self, name: str) -> str:
        networks, row = self._networks[name], self._table(name).cursor_row
        return networks[row] if 0 <= row < len(networks) else ""

    def _selected(self) -> str:
        """Return the network under the cursor of the table that has the focus."""
        name = "events" if self._table("events").has_focus else "sources"
        if not (network := self._chosen(name)):
            self.notify("select a row with a network first: arrows, and Tab for the other table")
        return network

    def action_pause(self) -> None:
        """Stop asking, so that rows stay where they are; the same key continues."""
        self._is_paused = not self._is_paused
        self.notify("paused: press space to continue" if self._is_paused else "live again")

    def action_why(self) -> None:
        """Explain the network under the cursor."""
        if network := self._selected():
            self.run_worker(lambda: self._explain(network), thread=True)

    def _explain(self, network: str) -> None:
        written = io.StringIO()
        try:
            result = self._target.ask(Why(network))
            with contextlib.redirect_stdout(written):
                why.explain(result)
        except NodewardenError as error:
            written.write(str(error))
        text = printable_lines(written.getvalue().strip(), "")
        self.call_from_thread(self.push_screen, _Told(f"{text}\n\nEscape closes this"))

    def action_order(self, what: str) -> None:
        """Ask whether to ban, unban or allow the network under the cursor, and do it."""
        if not (network := self._selected()):
            return
        question, request = _order(what, network)
        self.push_screen(_Question(question), self._answered(request))

    def _answered(self, request: Request) -> Callable[[bool | None], None]:
        def go_on(is_yes: bool | None) -> None:
            if is_yes:
                self.run_worker(lambda: self._order(request), thread=True)

        return go_on

    def _order(self, request: Request) -> None:
        try:
            answers = self._target.ask(request)
            text = "; ".join(f"{one['network']}: {one['text']}" for one in answers)
        except NodewardenError as error:
            text = str(error)
        self.call_from_thread(self.notify, printable(text), markup=False)
        self.call_from_thread(self._ask)


class _Told(ModalScreen[None]):
    """Text over the screen until a key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,w", "dismiss", "close")]
    CSS = "_Told { align: center middle; } #told { width: 90%; height: 80%; border: solid gray; padding: 0 1; }"

    def __init__(self, text: str) -> None:
        """Take what to say."""
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        with VerticalScroll(id="told"):
            yield Static(Text(self._text))


class _Question(ModalScreen[bool]):
    """A question that `y` answers with yes and any other key of the list with no."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "answer(True)", "yes"), ("n,escape,q", "answer(False)", "no")]
    CSS = "_Question { align: center middle; } #asked { width: 80%; height: auto; border: solid red; padding: 0 1; }"

    def __init__(self, text: str) -> None:
        """Take what to ask."""
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        yield Static(Text(f"{printable(self._text)}\n\ny: yes   n: no"), id="asked")

    def action_answer(self, is_yes: bool) -> None:
        """Close it."""
        self.dismiss(is_yes)


def _order(what: str, network: str) -> tuple[str, Request]:
    """Return what to ask about an order, and the order."""
    if what == "ban":
        request = BanOrder([RequestedBan(network, _BANTIME_S, _BY)])
        return f"Ban {network} for {show.duration(_BANTIME_S)}?", request
    if what == "unban":
        return f"Lift all bans of {network}?", Unban([network])
    return f"Never ban {network} again? `nodewarden allow remove` undoes it.", AllowAdd([network], _BY)


def _bar(share: float) -> str:
    """Draw how close a count is to its threshold."""
    full = min(_BAR, round(share * _BAR))
    return "#" * full + "." * (_BAR - full) + f" {min(share, 9.99):4.0%}"


def _rates(title: str, now: Mapping[str, int], before: Mapping[str, int], elapsed_s: float) -> str:
    """Write what grew fastest, per second; nothing at the first look."""
    grown = {name: count - before.get(name, 0) for name, count in now.items()}
    most = sorted(grown.items(), key=lambda one: -one[1])[:_MOST_REASONS]
    lines = [f"{max(0, more) / elapsed_s:9,.1f} {printable(name)}" for name, more in most if more > 0 and elapsed_s > 0]
    return "\n".join([title, *(lines or ["none"])])
