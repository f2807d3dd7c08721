"""A day of a small site as a recording: offenders, clients who mistype, and a probe of the site's own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import configured
from monitor.model.addresses import parse_network
from monitor.model.bans import AllowEntry
from monitor.model.flows import FlowBatch
from monitor.model.networks import NodeNetworks
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.exchange import export
from monitor.recording.inputs import Events, Input, Started, Surrounded, Ticked
from monitor.recording.segments import Header
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.events import failure, tcp
from tests.support.flows import handshakes

START_S = 1_790_000_000.0 // 3600 * 3600
HOUR_S = 3600.0
NODE = "192.0.2.1"
ATTACKER, SCANNER, CLIENT, PROBE = "203.0.113.7", "203.0.113.8", "198.51.100.7", "10.1.0.9"
"""A guesser of passwords, a scanner, a client that mistypes three times, and a probe inside that fails to log in."""

OLD = """\
detectors:
  failures:
    sshd: {filter: sshd, maxretry: 5, findtime: 10m, bantime: 1h, mode: enforce}
bans: {internal: {networks: [10.0.0.0/8]}}
"""
"""The configuration that was in force: nobody but the guesser and the scanner is banned."""
STRICT = OLD.replace("maxretry: 5", "maxretry: 2")
"""It bans the probe and the client as well."""
LENIENT = OLD.replace("maxretry: 5", "maxretry: 40").replace("detectors:", "detectors:\n  port_scan: {maxretry: 8000}")
"""It bans nobody."""


def write(directory: Path, name: str, text: str) -> Path:
    """Write a main file; its state directory is below its own."""
    path = directory / name / "nodewarden.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text + f"state: {{directory: {path.parent}/state}}\n")
    return path


def day() -> Iterator[Input]:
    """Yield a day: every hour the client works and the probe fails; in the seventh, others attack."""
    for hour in range(24):
        time_s = START_S + hour * HOUR_S
        yield Events(time_s, [FlowBatch(time_s, completed=handshakes(20, CLIENT, time_s=time_s))])
        yield Events(time_s + 1, [failure(PROBE, time_s=time_s + 1), failure(PROBE, time_s=time_s + 1.5)])
        if hour == 7:
            yield Events(time_s + 60, [failure(ATTACKER, time_s=time_s + 60) for _ in range(20)])
            yield Events(time_s + 70, [tcp(SCANNER, port, to=NODE, time_s=time_s + 70) for port in range(1, 200)])
            yield Events(time_s + 80, [failure(CLIENT, time_s=time_s + 80) for _ in range(3)])
        for second in range(1, 3600, 300):
            yield Ticked(time_s + second)


def record(path: Path, inputs: Iterable[Input], settings: Settings) -> Path:
    """Write a recording of a node that has this configuration."""
    node = [AllowEntry(parse_network(NODE), OWN_ADDRESS)]
    start: list[Input] = [
        Started(START_S, "web1", "0.1.0"),
        configured(settings, LogFilters(settings), START_S),
        Surrounded(START_S, node, NodeNetworks(connected=(parse_network("192.0.2.0/24"),))),
    ]
    with path.open("wb") as file:
        export((*start, *inputs), file, Header("web1", "0.1.0", START_S))
    return path


def record_day(directory: Path) -> Path:
    """Write the day as the configuration `OLD` recorded it; return the file."""
    return record(directory / "web1.recording", day(), load(write(directory, "recorded", OLD)).settings)
