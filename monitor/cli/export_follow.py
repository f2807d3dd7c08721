"""Writes bans for those who enforce elsewhere, once or as they change."""

import time

from monitor.cli import show
from monitor.cli.bans import every_ban
from monitor.cli.events import all_after
from monitor.cli.exported_bans import NOTATIONS, WHOLE, Elsewhere, Followed
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import ListBans, SetWord

_ASK_EVERY_S = 0.5
_WHOLE_EVERY_S = 5.0
"""A cluster's API server gets all networks each time: not more often than this."""
_LIST_EVERY_S = 600.0
"""In case events and list disagree, whatever the reason."""


def export_elsewhere(
    target: Target, word: SetWord, notation: str, elsewhere: Elsewhere, most: int, is_followed: bool
) -> None:
    """Write the bans of one set in a notation of `exported_bans`; with `is_followed`, and what changes, until Ctrl-C.

    What was written stays as it is while the daemon does not answer: nothing is withdrawn.
    """
    following = _Following(target, word, most)
    following.list_all()
    change = NOTATIONS[notation]
    every_s = _WHOLE_EVERY_S if change in WHOLE else 0.0
    written_s = float("-inf")
    try:
        while True:
            if time.monotonic() >= written_s + every_s:
                if lines := following.bans.lines(change, elsewhere):
                    written_s = time.monotonic()
                    show.say_all(lines)
                following.say_left_out()
            if not is_followed:
                return
            time.sleep(_ASK_EVERY_S)
            following.ask()
    except KeyboardInterrupt:
        pass


class _Following:
    """Asks the daemon for its bans, and then for what changed."""

    def __init__(self, target: Target, word: SetWord, most: int) -> None:
        self.bans = Followed(word, most)
        self._target = target
        self._word: SetWord = word
        self._run, self._last = "", 0
        self._listed_s = 0.0
        self._is_away = False
        self._left_out = 0

    def list_all(self) -> None:
        """Ask for all bans. What happens meanwhile comes again with the events, which does no harm."""
        page = all_after(self._target, 0)
        self.bans.restart(every_ban(self._target, ListBans(set=self._word)))
        self._run, self._last, self._listed_s = page["run"], page["last"], time.monotonic()

    def ask(self) -> None:
        """Take what changed; a daemon that restarts or is busy is waited for."""
        try:
            page = all_after(self._target, self._last)
            if page["run"] != self._run or page["lost"] or time.monotonic() > self._listed_s + _LIST_EVERY_S:
                self.list_all()
            else:
                for event in page["events"]:
                    self.bans.take(event)
                self._last = page["last"]
            self._is_away = False
        except (DaemonUnreachable, RequestRefused) as error:
            if not self._is_away:
                show.say(f"nodewarden: what was exported stays; waiting for the daemon: {error}", err=True)
            self._is_away = True

    def say_left_out(self) -> None:
        """Say how many bans there is no room for, when that changes between none and some."""
        if bool(self.bans.left_out) != bool(self._left_out):
            count = self.bans.left_out
            text = f"{count} older bans are left out: see --most" if count else "all bans are exported again"
            show.say(f"nodewarden: {text}", err=True)
        self._left_out = self.bans.left_out
