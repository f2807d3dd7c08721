"""The command that shows what the daemon decided and noticed."""

import time
from collections.abc import Iterator
from typing import Any

import click

from monitor.cli import show
from monitor.cli.origin import origin
from monitor.cli.target import Target
from monitor.cli.values import DURATION
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import Events
from monitor.model.printable import printable

_ASK_EVERY_S = 0.5
_SHOWN_BEFORE_FOLLOWING = 10
_VERBS = {
    "ban": "",
    "refresh": "longer ",
    "claim": "claim on ",
    "observe": "would ",
    "over_budget": "bans.budget is spent; would ",
}
_REFUSALS = {"stale": "the ban would be over already", "full": "bans.max_bans is reached"}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Show new events as they come, until interrupted.")
@click.option("--since", "since_s", type=DURATION, help="Only events of this time and later: `10m`.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def events(target: Target, follow: bool, since_s: float | None, is_json: bool) -> None:
    """Show bans, refusals, ends, floods, table changes and problems, oldest first.

    The daemon keeps the last 16,384 since its start; the journal has older ones (`journalctl -t nodewarden`). With
    --follow and without --since, it starts with the last 10.
    """
    since = None if since_s is None else time.time() - since_s
    pages = _follow(target, since) if follow else iter((_first(target, since),))
    try:
        for page in pages:
            if page["lost"]:
                show.say(f"nodewarden: {page['lost']} earlier events are no longer kept", err=True)
            for event in page["events"]:
                if is_json:
                    show.as_json(event, indent=None)
                else:
                    show.say(line(event))
    except KeyboardInterrupt:
        pass


def all_after(target: Target, after: int, since: float | None = None) -> dict[str, Any]:
    """Ask for page after page; return all as one. A restart in between ends it: the next request notices."""
    page: dict[str, Any] = target.ask(Events(after, since))
    while page["more"]:
        further = target.ask(Events(page["last"], since))
        if further["run"] != page["run"]:
            break
        page |= {
            "last": further["last"],
            "more": further["more"],
            "lost": page["lost"] + further["lost"],
            "events": page["events"] + further["events"],
        }
    return page


def _first(target: Target, since: float | None) -> dict[str, Any]:
    page = all_after(target, 0, since)
    if since is not None and (not page["events"] or page["events"][0]["number"] > page["lost"] + 1):
        page["lost"] = 0  # a kept event is older than `since`, so are all that are no longer kept
    return page


def _follow(target: Target, since: float | None) -> Iterator[dict[str, Any]]:
    """Yield what is new, again and again; a daemon that restarts or is busy is waited for."""
    page = _first(target, since)
    if since is None:
        page |= {"lost": 0, "events": page["events"][-_SHOWN_BEFORE_FOLLOWING:]}
    yield page
    is_away = False
    while True:
        time.sleep(_ASK_EVERY_S)
        run, last = page["run"], page["last"]
        try:
            page = all_after(target, last)
            if page["run"] != run:
                show.say("nodewarden: the daemon was restarted", err=True)
                page = all_after(target, 0)
            is_away = False
        except (DaemonUnreachable, RequestRefused) as error:
            if not is_away:
                show.say(f"nodewarden: waiting for the daemon: {error}", err=True)
            is_away = True
            continue
        yield page


def line(event: dict[str, Any]) -> str:
    """Write an event for people, on one line."""
    return printable(f"{show.moment(event['time_s'])} {_text(event)}")


def _text(event: dict[str, Any]) -> str:
    kind = event["event"]
    if kind in _VERBS and "set" in event:
        bantime = show.duration(event["until_s"] - event["since_s"])
        return f"{_VERBS[kind]}{_ban(event)} for {bantime} ({origin(event)}){_because(event['reason'])}"
    match kind:
        case "end":
            left = " (other claims keep it)" if event["remaining_until_s"] else ""
            return f"end of {_ban(event)} ({origin(event)}): {event['cause']}{left}"
        case "flood":
            return f"flood ({event['detector']}): {event['text']}"
        case "clock_step":
            return f"the clock was set; {event['bans']} claims keep the time they had left"
        case "table_change":
            is_kept = event["kind"] == "element_added"
            what = "see `nodewarden list --detector foreign`" if is_kept else "it is being reverted"
            return f"{event['author']} changed the table: {event['kind']} ({event['count']} times); {what}"
        case "problem" | "problem_over":
            return f"{kind.replace('_', ' ')}: {event['text']}"
        case "trial":
            return f"trial configuration {event['name']}: {event['text']}"
    return f"not banning {event['network']} ({origin(event)}): {event.get('text') or _REFUSALS.get(kind, kind)}"


def _ban(event: dict[str, Any]) -> str:
    return f"{'egress ban' if event['set'] == 'egress' else event['set']} {event['network']}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
