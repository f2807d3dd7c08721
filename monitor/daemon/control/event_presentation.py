"""How events look to commands: plain data, addresses as text, times in seconds. docs/events.md describes the fields."""

from itertools import islice
from typing import Any

from monitor.bans.decision import Decision, Ended
from monitor.control.protocol import MAX_EVENTS_PAGE
from monitor.daemon.control.presentation import describe_ban, show_decision_reason, show_evidence
from monitor.daemon.pipeline.event_stream import ClockStep, EventStream, Problem, StreamEvent, TableChange, TrialChange
from monitor.model.alerts import FloodAlert


def show_events(stream: EventStream, after: int, since_s: float | None) -> dict[str, Any]:
    """Show one page of the events after a number, and the number after which to go on: a page takes the loop 1 ms."""
    since_s = float("-inf") if since_s is None else since_s
    page = list(islice(stream.after(after, since_s), MAX_EVENTS_PAGE))
    is_full = len(page) == MAX_EVENTS_PAGE
    return {
        "run": stream.name_of_run,
        "last": page[-1]["number"] if is_full else stream.last,
        "more": is_full,
        "lost": stream.lost_after(after),
        "lost_news": stream.lost_news_after(after),
        "events": page,
    }


def show_event(event: StreamEvent) -> dict[str, Any]:
    """Show one event; which fields there are depends on `event`."""
    head = {"number": event.number, "time_s": event.time_s}
    match event.what:
        case Decision() as decision:
            return head | _of_decision(decision)
        case Ended() as ended:
            remaining_s = ended.remaining.until_s if ended.remaining else None
            return head | {
                "event": "end",
                "cause": ended.cause,
                **describe_ban(ended.ban),
                "remaining_until_s": remaining_s,
            }
        case FloodAlert() as flood:
            return head | {"event": "flood", "detector": flood.detector, "text": str(flood)}
        case ClockStep(bans):
            return head | {"event": "clock_step", "bans": bans}
        case TableChange(kind, author, count):
            return head | {"event": "table_change", "kind": kind, "author": author, "count": count}
        case Problem(text, is_over):
            return head | {"event": "problem_over" if is_over else "problem", "text": text}
        case TrialChange(name, what, text):
            return head | {"event": "trial", "name": name, "result": what, "text": text}


def _of_decision(decision: Decision) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "event": decision.verdict,
        "network": str(decision.network),
        "detector": decision.detector,
    }
    if decision.ban:
        shown |= describe_ban(decision.ban)
    if decision.claim:
        shown["origin"] = decision.claim.origin
    if decision.alert:
        shown |= {"event_time_s": decision.alert.time_s, **show_evidence(decision.alert.evidence)}
    if text := show_decision_reason(decision):
        shown["text"] = text
    return shown
