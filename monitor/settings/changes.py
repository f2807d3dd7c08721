"""What a reload cannot follow."""

from monitor.settings.schema import Settings

AFTER_RESTART = "takes effect after `systemctl restart nodewarden`"


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Name the changed settings that a running daemon cannot follow."""
    pairs = {
        "metrics": (old.metrics, new.metrics),
        "control": (old.control, new.control),
        "state": (old.state, new.state),
        "bans.max_bans": (old.bans.max_bans, new.bans.max_bans),
    }
    return [name for name, (before, after) in pairs.items() if before != after]
