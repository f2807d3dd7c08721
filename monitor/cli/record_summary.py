"""Shows what a recording holds, and how the daemon's own is going."""

import time
from typing import TYPE_CHECKING, Any

from monitor.cli import show

if TYPE_CHECKING:
    from monitor.recording.summary import Summary  # not at run time: every command imports this module

_MAX_SHOWN_GAPS = 10
_AHEAD_S = 60.0


def show_state(state: dict[str, Any]) -> None:
    """Say whether the daemon records, and what keeps it from that."""
    if state["is_on"]:
        show.say(f"recording to {state['directory']}: {_size(state['bytes'])} of {_size(state['max_bytes'])} used")
    elif state["is_enabled"]:
        show.say("not recording: stopped by command (`nodewarden record start`)", fg="yellow")
    else:
        show.say("not recording: recording.enabled is false", fg="yellow")
    if state["trouble"]:
        show.say(f"PROBLEM: the recording cannot be written: {state['trouble']}", fg="red", bold=True)
    if lost := show.counts(state["lost"]):
        show.say(f"missing since the start of the daemon: {lost}", fg="yellow")


def show_summary(found: "Summary") -> None:
    """Print what a recording holds."""
    if found.first_s is None or found.last_s is None:
        show.say("nothing is recorded in that time")
        return
    length = show.duration(found.last_s - found.first_s)
    show.say(f"from {show.moment(found.first_s)} to {show.moment(found.last_s)}, {length}")
    if (ahead_s := found.last_s - time.time()) > _AHEAD_S:
        show.say(f"it ends {show.duration(ahead_s)} in the future: the clock of its node was ahead, or is", fg="yellow")
    pseudonyms = ", under pseudonyms" if found.has_pseudonyms else ""
    show.say(f"node {show.first(found.nodes)}, nodewarden {', '.join(found.versions)}{pseudonyms}")
    show.say(f"{_size(found.size_bytes)} in {_counted(found.segments, 'segment')}, {_counted(found.inputs, 'input')}")
    counted = {
        "start": found.starts,
        "configuration": found.configurations,
        "order by command": found.orders,
        "step of the clock": found.clock_steps,
    }
    show.say(", ".join(_counted(count, what) for what, count in counted.items()))
    show.table(("EVENTS", "COUNT"), [(kind, f"{count:,}") for kind, count in found.events.items()])
    if found.only_counted:
        show.say(
            f"{found.only_counted:,} more events of floods are only counted: their sources led to nothing", fg="yellow"
        )
    if found.gaps_total:
        missing = (
            f"at least {found.missing:,} events are missing" if found.missing else "it is not known what is missing"
        )
        show.say(f"{_counted(found.gaps_total, 'gap')}; {missing}", fg="yellow")
    for gap in found.gaps[:_MAX_SHOWN_GAPS]:
        count = f"{gap['count']:,} events: " if gap["count"] else ""
        show.say(f"  {show.moment(gap['time_s'])} {count}{gap['reason']} ({gap['where']})")


def _counted(count: int, what: str) -> str:
    """Write a count with its noun, whose first word has the plural."""
    noun, _, rest = what.partition(" ")
    return f"{count:,} {noun}{'' if count == 1 else 's'}{rest and ' '}{rest}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
