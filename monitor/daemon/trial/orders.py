"""Answers `nodewarden apply`: checks a trial configuration before anything changes, and confirms it or goes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from monitor.control.protocol import (
    LONGEST_TRIAL_S,
    SHORTEST_TRIAL_S,
    Apply,
    ApplyBack,
    ApplyConfirm,
    ApplyStatus,
    TrialRequest,
)
from monitor.daemon.selfcheck.configuration import load_examined
from monitor.daemon.trial.file import instant
from monitor.daemon.trial.keeper import LIMIT_BYTES, TrialKeeper
from monitor.daemon.trial.record import PLACE, Opinion, Result, Trial, TrialRefused
from monitor.files.regular import digest
from monitor.model.addresses import parse_network
from monitor.settings.changes import needs_restart
from monitor.settings.load import Loaded, load
from monitor.settings.schema import Settings

_MOST_KNOWN_GOOD = 10_000


class TrialOrders:
    """Carries out what the command asks for."""

    def __init__(self, path: Path, keeper: TrialKeeper, in_force: Callable[[], Settings]) -> None:
        """Take the main file, what keeps a trial, and the settings in force."""
        self._path = path
        self._keeper = keeper
        self._in_force = in_force

    def answer(self, request: TrialRequest) -> Any:
        """Answer a request. NodewardenError: nothing changed; ConfigError where the configuration has to change."""
        keeper = self._keeper
        match request:
            case Apply():
                done = keeper.start(self._checked(request))
                return {**keeper.describe(instant()), "reload": done}
            case ApplyConfirm():
                keeper.confirm()
            case ApplyBack():
                if keeper.trial is None:
                    raise TrialRefused(keeper.nothing_waits)
                keeper.go_back(Opinion(Result.BACK, "an operator said so"))
            case ApplyStatus():
                pass
        return keeper.describe(instant())

    def _checked(self, request: Apply) -> Trial:
        """Return the trial if it can start."""
        waiting, now = self._keeper.trial, instant()
        if waiting is not None:
            raise TrialRefused(
                f"trial configuration {waiting.name} waits to be confirmed ({waiting.left_s(now):.0f} s left): first "
                "`nodewarden apply --confirm` or `nodewarden apply --back`"
            )
        if not SHORTEST_TRIAL_S <= request.within_s <= LONGEST_TRIAL_S:
            raise TrialRefused(f"a trial lasts from {SHORTEST_TRIAL_S:g} s to 24 h, not {request.within_s:g} s")
        if request.place and not PLACE.fullmatch(request.place):
            raise TrialRefused(
                "a file of conf.d has a name such as 50-local.yaml (letters, digits, `.`, `_`, `-`); `--as` gives one"
            )
        target = self._path.parent / "conf.d" / request.place if request.place else self._path
        self._check_settings(target, request.content.encode())
        return Trial(
            name=request.name[:200],
            target=str(target),
            content=request.content,
            before=digest(target, LIMIT_BYTES),
            limit_s=request.within_s,
            started_s=now.wall_s,
            wall_s=now.wall_s,
            boot_s=now.boot_s,
            boot_id=now.boot_id,
            known_good=_networks(request.known_good),
        )

    def _check_settings(self, target: Path, content: bytes) -> None:
        base = load(self._path).settings
        if base != self._in_force():
            raise TrialRefused(
                "the files on disk say something else than what is in force, and going back would put it in force: "
                "`nodewarden reload` or undo these changes first (`nodewarden status` names them)"
            )
        loaded = load_examined(self._path, standing={target: content})[0]
        tried = loaded.settings
        if tried == base:
            raise TrialRefused(_changes_nothing(target, content, loaded))
        if waiting := needs_restart(base, tried):
            raise TrialRefused(
                f"{', '.join(waiting)}: this takes effect after a restart only and cannot be tried; leave it out, or "
                "put the file in place and restart"
            )


def _changes_nothing(target: Path, content: bytes, loaded: Loaded) -> str:
    """Say why a file that is read changes nothing: what is in force says the same, or files that are read later win."""
    later = [path.name for path in loaded.files if path.parent == target.parent and path.name > target.name]
    if later and yaml.safe_load(content) and not any(origin.file == target for origin in loaded.origins.values()):
        return (
            f"it changes nothing: {', '.join(later)} in conf.d is read after {target.name}, and sets the same; "
            f"`--as 99-{target.name}` has it read last"
        )
    return f"it changes nothing: the configuration in force says the same ({target})"


def _networks(texts: list[str]) -> tuple[str, ...]:
    if len(texts) > _MOST_KNOWN_GOOD:
        raise TrialRefused(f"more than {_MOST_KNOWN_GOOD} known-good networks: name prefixes instead")
    try:
        return tuple(str(parse_network(text)) for text in texts)
    except ValueError as error:
        raise TrialRefused(f"known-good networks: {error}") from None
