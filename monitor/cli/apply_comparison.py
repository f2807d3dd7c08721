"""What a configuration to try would have done in the recorded history: said before it is in force."""

import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from monitor.cli import show
from monitor.cli.compare_report import print_comparison
from monitor.cli.progress import through, watched
from monitor.model.errors import ConfigError, NodewardenError

_SHOWN = 10
_DAY_S = 86_400.0
_MOST_CLIENTS = 1000


class Compared(msgspec.Struct, frozen=True):
    """What the history says of a configuration."""

    data: dict[str, Any]
    known_good: list[str]
    """Networks of clients that the history knows, whose bans would differ: they must not be banned."""
    exceeded: list[str]
    """The limits that are exceeded, a sentence each."""


def compare_with_history(
    path: Path, stands_for: Path, content: bytes, days: float, limits: dict[str, int | None]
) -> Compared | None:
    """Compare a configuration with the one in force over the last days; None, and it is said why, if that cannot be.

    ConfigError if the configuration is wrong.
    """
    from monitor.daemon.tuning.compare import Limits
    from monitor.daemon.tuning.comparing import Question, answer, as_data
    from monitor.daemon.tuning.known_good import Mark

    show.say(f"comparing with the last {days:g} days of the recorded history (--days 0 skips this)", err=True)
    with tempfile.TemporaryDirectory(prefix="nodewarden-apply-") as directory:
        try:
            new = _copied(path, stands_for, content, Path(directory))
            since_s = time.time() - days * _DAY_S
            asked = Question(new=new, old=path, since_s=since_s)
            found = answer(asked, lambda read, inputs: watched(inputs, through(read, since_s)))
        except ConfigError:
            raise
        except (NodewardenError, OSError) as error:
            show.say_lines(f"not compared with the history: {error}", "  ", err=True, fg="yellow")
            return None
    clients = dict.fromkeys(
        str(change.network.whole) for change in found.comparison.changes if Mark.CLIENT in change.marks
    )
    over = Limits(**limits).exceeded(found.comparison)
    data = as_data(found)
    data["new"]["name"] = "to be tried"
    data["old"]["name"] = "in force"
    return Compared(data, list(clients)[:_MOST_CLIENTS], over)


def say(compared: Compared) -> None:
    """Print what differs, for people."""
    print_comparison(compared.data, _SHOWN)
    show.say()


def _copied(path: Path, stands_for: Path, content: bytes, directory: Path) -> Path:
    """Copy the configuration, with the content in its place, and return the main file of the copy."""
    drop_ins = directory / "conf.d"
    drop_ins.mkdir()
    for file in (path, *sorted((path.parent / "conf.d").glob("*.yaml"))):
        if not file.name.startswith("."):
            (directory if file == path else drop_ins).joinpath(file.name).write_bytes(file.read_bytes())
    (directory if stands_for == path else drop_ins).joinpath(stands_for.name).write_bytes(content)
    return directory / path.name
