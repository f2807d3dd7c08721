"""`nodewarden replay`: what a configuration would have made of a recording, or of files that no daemon recorded."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli import completion
from monitor.cli.progress import through, watched
from monitor.cli.recorded_history import find_recording, nothing_in
from monitor.cli.values import READ_NETWORK, WHEN
from monitor.model.addresses import Network
from monitor.model.errors import NodewardenError
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings

if TYPE_CHECKING:
    from monitor.daemon.replay.engine import Replay
    from monitor.daemon.replay.foreign.reading import ForeignFiles

_FOREVER_S = float("inf")
_KINDS = ("log", "kernel-log", "journal-json", "journal-export", "conntrack-xml", "ctnetlink", "pcap")
"""As `monitor.daemon.replay.foreign.kinds.Kind`, which would load libraries."""


class NothingUsableError(NodewardenError):
    """Nothing of the files could be replayed; the message says what they are."""


@click.command("replay")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"The main file of the configuration to try; default: {DEFAULT_PATH}, for a recording the recorded one.",
)
@click.option("--since", "since_s", type=WHEN, metavar="WHEN", help="Only what came since: `36h`, `2026-11-27T09:30`.")
@click.option("--until", "until_s", type=WHEN, metavar="WHEN", help="Only what came before: as for --since.")
@click.option(
    "--type", "kind", type=click.Choice(_KINDS), help="What kind of files these are, instead of what they look like."
)
@click.option(
    "--filter",
    "named",
    metavar="DETECTOR",
    multiple=True,
    help="The detector whose filter reads the logs, instead of those that read logs of this name, or a built-in "
    "filter; may be repeated.",
)
@click.option(
    "--node",
    type=READ_NETWORK,
    metavar="ADDRESS",
    multiple=True,
    help="An address of the node that a capture is of, or a network behind it; may be repeated. Default: guessed.",
)
@click.option(
    "--detector",
    default="",
    metavar="NAME",
    shell_complete=completion.detectors,
    help="Show only what this detector found.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line; the last sums up.")
def replay(
    files: tuple[Path, ...],
    config_path: Path | None,
    since_s: float | None,
    until_s: float | None,
    kind: str | None,
    named: tuple[str, ...],
    node: tuple[Network, ...],
    detector: str,
    is_json: bool,
) -> None:
    """Show whom a configuration would have banned: in a recording, in logs, or in captured traffic.

    Without FILE, the recording of the daemon on this machine is replayed. FILE is an exported recording, or the name of
    an imported one; or any number of logs (also rotated and packed), saved kernel logs (dmesg, syslog, `journalctl -o
    short`, `json` or `export`), outputs of `conntrack -E -o xml,timestamp,id`, captures of ctnetlink, and captures of
    packets (pcap, pcapng); - is standard input. All of it goes through the filters, the detectors and the policy of the
    daemon, by the clock of the file. The kernel is never touched, and no daemon is asked.

    Exit code 1 if nothing usable was found.
    """
    recording = _recording(files)
    if recording is None:
        _replay_files(files, config_path, (since_s, until_s), kind, named, node, detector, is_json)
        return
    if kind or named or node:
        raise click.UsageError("--type, --filter and --node are for files that no daemon recorded")
    _replay_recording(recording, config_path, (since_s, until_s), detector, is_json)


def _recording(files: Sequence[Path]) -> str | None:
    """Return the name or path of the recording that is meant, empty for the daemon's; None: other files are meant."""
    if not files:
        return ""
    recordings = [path for path in files if _is_recording(path)]
    if not recordings:
        return None
    if len(files) > 1:
        raise click.UsageError("a recording is replayed alone: name no other file")
    return str(recordings[0])


def _is_recording(path: Path) -> bool:
    """Whether this is a file or directory of recordings, or no file: then the name of an imported recording."""
    from monitor.recording.segments import MAGIC

    if str(path) == "-":
        return False
    try:
        if path.is_dir():
            return True
        if not path.exists():
            return "/" not in str(path)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def _replay_recording(
    wanted: str,
    config_path: Path | None,
    between_s: tuple[float | None, float | None],
    detector: str,
    is_json: bool,
) -> None:
    """Replay what a daemon recorded."""
    from monitor.cli.replay_report import Report
    from monitor.daemon.replay.engine import Replay

    settings = load(config_path).settings if config_path else None
    recording = find_recording(wanted, config_path or DEFAULT_PATH)
    engine = Replay(settings)
    report = Report(detector, is_json=is_json)
    since_s, until_s = between_s
    inputs = recording.inputs(-_FOREVER_S if since_s is None else since_s, _FOREVER_S if until_s is None else until_s)
    _run(engine, watched(inputs, through(recording, -_FOREVER_S if since_s is None else since_s)), report)
    has_any = bool(engine.result.events or report.has_any)
    if has_any or is_json:
        report.end(engine)
    if not has_any:
        raise NothingUsableError(nothing_in(recording))


def _replay_files(
    files: Sequence[Path],
    config_path: Path | None,
    between_s: tuple[float | None, float | None],
    kind: str | None,
    named: Sequence[str],
    node: Sequence[Network],
    detector: str,
    is_json: bool,
) -> None:
    """Replay what no daemon recorded."""
    from monitor.cli.replay_report import Report
    from monitor.daemon.replay.engine import Replay
    from monitor.daemon.replay.foreign.builtin_filters import with_filters
    from monitor.daemon.replay.foreign.kinds import Kind
    from monitor.daemon.replay.foreign.reading import ForeignFiles

    notes = []
    if config_path is None and not DEFAULT_PATH.exists():
        settings = Settings()
        notes.append(f"there is no {DEFAULT_PATH}: the defaults are tried")
    else:
        settings = load(config_path or DEFAULT_PATH).settings
    settings = with_filters(settings, named)
    foreign = ForeignFiles(files, settings, kind=Kind(kind) if kind else None, named=named, node=node)
    engine = Replay(settings, filters=foreign.filters)
    report = Report(detector, is_json=is_json)
    since_s, until_s = between_s
    inputs = foreign.inputs(0.0 if since_s is None else since_s, _FOREVER_S if until_s is None else until_s)
    _run(engine, watched(inputs, lambda _: foreign.progress), report)
    report.end(engine, foreign, notes)
    if not any(one.events for one in foreign.reports):
        raise NothingUsableError(_why_nothing(foreign))


def _why_nothing(foreign: "ForeignFiles") -> str:
    """Say what the files hold instead of evidence."""
    from monitor.cli.replay_report import left_out

    return "\n".join(
        f"{one.path}: nothing in it is evidence: read as {one.kind}, {one.records:,} records"
        + (f", of which {left_out(one)}" if one.unused else "")
        for one in foreign.reports
    )


def _run(engine: "Replay", inputs: Iterable[Any], report: Any) -> None:
    """Feed the engine, and hand on what comes of it."""
    for one in inputs:
        for outcome in engine.feed(one):
            report.take(outcome)
