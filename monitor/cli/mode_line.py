"""The first lines of `nodewarden status` and `top`: whether anything is banned at all, and how to change that."""

import os
import shlex
import time
from pathlib import Path
from typing import Any

_OBSERVE_FILE = Path("conf.d/10-observe.yaml")
"""Installed with the program; it has all detectors observe."""
_SHOWN = 6
_APPLY = "nodewarden config check && nodewarden reload"


def mode_line(result: dict[str, Any]) -> str:
    """Return the line for what `Status` answered."""
    problems = len(result["problems"])
    verdict = f"{problems} problem{'s' if problems > 1 else ''}" if problems else "all is well"
    return f"{_mode(result)}; {verdict}"


def short_mode_line(result: dict[str, Any]) -> str:
    """Return the line for what `Top` answered."""
    bans = ", ".join(f"{count} {word}" for word, count in result["bans"].items())
    return f"{'enforcing' if result['enforces'] else 'observing only'}; bans: {bans}"


def _mode(result: dict[str, Any]) -> str:
    modes = {one["name"]: one["mode"] for one in result["detectors"]}
    enforcing = [name for name, mode in modes.items() if mode == "enforce"]
    bans = result["bans"]
    in_force = sum(bans[word] for word in ("ban", "shun", "egress"))
    # a daemon of an earlier version, before its restart, does not say
    mode = result.get("mode") or {"since_s": time.time() - result["uptime_s"], "observed": bans["observed"]}
    if enforcing:
        shown = ", ".join(enforcing[:_SHOWN]) + (f" and {len(enforcing) - _SHOWN} more" * (len(enforcing) > _SHOWN))
        observing = len(modes) - len(enforcing)
        return f"enforcing: {shown}" + (f"; {observing} only observe" if observing else "") + f"; {in_force} in force"
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(mode["since_s"]))
    if not modes:
        return f"enforcing only what is ordered since {since}: no detector is on; {in_force} in force"
    kept = f", {in_force} in force from before or by hand" if in_force else ""
    return (
        f"observing only since {since}: {mode['observed']} would be banned{kept}; "
        f"to enforce: {_way_out(Path(result['configuration']), mode.get('set_at', ''))}"
    )


def _way_out(configuration: Path, set_at: str) -> str:
    """Return the command that lets detectors enforce, or what to write where that file does not do it.

    `set_at` is the place of `mode: observe` at the top level; empty if each detector observes by its own mode.
    """
    observe = configuration.parent / _OBSERVE_FILE
    if set_at and set_at.rpartition(":")[0] != str(observe):
        return f"change `mode` in {set_at}, then {_APPLY}"
    if observe.exists() and os.access(observe.parent, os.W_OK):
        return f"rm {shlex.quote(str(observe))} && {_APPLY}"
    if set_at:
        return f"set `mode: enforce` at the top level (observe in {set_at}), then {_APPLY}"
    return f"remove `mode: observe` where `nodewarden config show` finds it, then {_APPLY}"
