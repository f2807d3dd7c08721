"""`nodewarden events`: what it says is lost, and what it survives while following."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli import events as command
from monitor.cli.main import cli
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import Events

PROBLEM = {"event": "problem", "number": 7, "time_s": 50.0, "text": "no table"}
BUSY = RequestRefused("too many commands at once; try again")
AWAY = DaemonUnreachable("nodewarden does not answer")

Run = Callable[..., Result]
requests: list[Events] = []
"""What the command asked for last."""


def page(*events: dict[str, Any], lost: int = 0, last: int = 7, more: bool = False, run: str = "1") -> dict[str, Any]:
    """Return a reply of the daemon."""
    return {"run": run, "last": last, "more": more, "lost": lost, "events": list(events)}


def problem(number: int) -> dict[str, Any]:
    """Return an event that can be told apart."""
    return PROBLEM | {"number": number, "text": f"p{number}"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command against a daemon that gives these replies, after which the user presses Ctrl-C."""
    monkeypatch.setattr(command, "_ASK_EVERY_S", 0)
    requests.clear()

    def run(replies: list[dict[str, Any] | Exception], *arguments: str) -> Result:
        left = iter(replies)

        def ask(_: Target, request: Events) -> dict[str, Any]:
            requests.append(request)
            reply = next(left, KeyboardInterrupt())
            if isinstance(reply, BaseException):
                raise reply
            return reply

        monkeypatch.setattr(Target, "ask", ask)
        return CliRunner().invoke(cli, ["--socket", str(Path("unused")), "events", *arguments])

    return run


@pytest.mark.parametrize(
    ("reply", "arguments", "lost"),
    [
        (page(PROBLEM, lost=6), (), 6),
        (page(PROBLEM, lost=6), ("--since", "10m"), 6),
        (page(PROBLEM, lost=5), ("--since", "10m"), 0),
        (page(lost=5), ("--since", "0s"), 0),
    ],
    ids=["all", "all kept are new enough", "some kept are too old", "all kept are too old"],
)
def test_only_losses_among_what_was_asked_for_are_reported(
    run: Run, reply: dict[str, Any], arguments: tuple[str, ...], lost: int
) -> None:
    """Events that are no longer kept count only if they can have been recent enough for --since."""
    done = run([reply], *arguments)
    assert done.exit_code == 0
    assert done.stderr == (f"nodewarden: {lost} earlier events are no longer kept\n" if lost else "")


@pytest.mark.parametrize("error", [BUSY, AWAY], ids=["busy", "away"])
def test_following_outlasts_a_daemon_that_does_not_answer(run: Run, error: Exception) -> None:
    """It says so once, shows what came meanwhile, and ends quietly with Ctrl-C."""
    done = run([page(last=6), error, error, page(PROBLEM)], "--follow")
    assert done.exit_code == 0
    assert done.stderr == f"nodewarden: waiting for the daemon: {error}\n"
    assert done.stdout.endswith(" problem: no table\n")


def test_without_follow_a_refusal_is_an_error(run: Run) -> None:
    """A single request that is refused is not tried again."""
    assert isinstance(run([BUSY]).exception, RequestRefused)


def shown(done: Result) -> list[int]:
    """Return the numbers of the events that were printed as JSON."""
    return [json.loads(line)["number"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("arguments", [(), ("--since", "1h"), ("--follow", "--since", "1h"), ("--follow",)])
def test_all_pages_are_shown(run: Run, arguments: tuple[str, ...]) -> None:
    """What does not fit into one reply follows in the next, in order."""
    pages: list[dict[str, Any] | Exception] = [
        page(problem(1), problem(2), last=2, more=True),
        page(problem(3), problem(4), last=4, more=True),
        page(last=4),
    ]
    done = run(pages, "--json", *arguments)
    assert (done.exit_code, shown(done)) == (0, [1, 2, 3, 4])


def test_following_starts_with_the_newest(run: Run) -> None:
    """Without --since, the last ten of all pages come first."""
    first = page(*map(problem, range(1, 9)), last=8, more=True)
    done = run([first, page(*map(problem, range(9, 17)), last=16)], "--follow", "--json")
    assert shown(done) == list(range(7, 17))


def test_following_shows_new_events_whatever_their_time(run: Run) -> None:
    """--since selects among the kept events only: when the clock is set back, new events are still asked for."""
    done = run([page(problem(1), last=1, more=True), page(last=1)], "--follow", "--since", "1h")
    assert done.exit_code == 0
    assert [(one.after, one.since_s is None) for one in requests] == [(0, False), (1, False), (1, True)]
