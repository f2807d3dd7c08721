"""What `nodewarden notify status` shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.cli import show
from monitor.notify.state import STALE_S, ChannelState, NotifyState


def is_well(names: Sequence[str], state: NotifyState | None, now_s: float) -> bool:
    """Return whether a notifier runs if there is a channel, and nothing fails."""
    if not names:
        return True
    if state is None or now_s - state.heartbeat_s > STALE_S or state.fault:
        return False
    return not any(state.channels[name].fault for name in names if name in state.channels)


def say_state(names: Sequence[str], state: NotifyState | None, now_s: float) -> bool:
    """Show each channel on one line; return whether all is as it should be."""
    if not names:
        show.say("no channel is configured in section notify")
        return True
    if state is None or now_s - state.heartbeat_s > STALE_S:
        show.say("the notifier does not run: systemctl start nodewarden-notify", err=True, fg="red")
    if state is None:
        return False
    if state.fault:
        show.say(state.fault, fg="red")
    if state.unseen:
        show.say(f"{state.unseen} events happened of which nothing else is known")
    for name in names:
        _say_channel(name, state.channels.get(name))
    return is_well(names, state, now_s)


def channel_line(channel: Mapping[str, Any]) -> str:
    """Return the line of a channel in `nodewarden status`."""
    counts = {"sent": channel["sent"], "wait": channel["queued"], "failed": channel["refused"], "lost": channel["lost"]}
    shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "sent")
    fault = f"; fails since {show.moment(channel['fault_since_s'])}: {channel['fault']}" if channel["fault"] else ""
    state = "" if channel["runs"] else " (the notifier does not run)"
    return f"notifications by {channel['name']} ({channel['kind']}): {shown}{fault}{state}"


def _say_channel(name: str, channel: ChannelState | None) -> None:
    if channel is None:
        show.say(f"{name}: not in use yet", fg="yellow")
        return
    last = f", the last {show.moment(channel.sent_s)}" if channel.sent_s else ""
    more = f", {channel.refused} failed" if channel.refused else ""
    more += f", {channel.lost} lost" if channel.lost else ""
    more += f", {channel.queued} wait" if channel.queued else ""
    show.say(f"{name} ({channel.kind}): {channel.sent} sent{last}{more}")
    if channel.fault:
        show.say(f"  fails since {show.moment(channel.fault_since_s)}: {channel.fault}", fg="red")
