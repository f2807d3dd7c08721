"""The alerts of the detectors for the events of a scenario, and whether there were enough events."""

from collections import defaultdict
from collections.abc import Sequence

from monitor.detectors.host_sweep import HostSweepDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from monitor.model.addresses import format_address
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.format import decode_packet, parse_record
from tests.support.corpus.scenario import Material

MAX_PORTS, MAX_HOSTS = 15, 10
"""The default `maxretry` of port_scan and of host_sweep."""


def decode(line: bytes) -> PacketLogged:
    """Decode one record of /dev/kmsg; its time is relative to boot."""
    record = parse_record(line)
    return decode_packet(record.message, record.timestamp_us / 1e6)


def alerts_of(events: Sequence[PacketLogged]) -> frozenset[tuple[str, str]]:
    """Return pairs of detector and address for the alerts with default thresholds."""
    detectors = [
        PortScanDetector(Limits(findtime_s=600, maxretry=MAX_PORTS, max_entries=32768)),
        HostSweepDetector(Limits(findtime_s=600, maxretry=MAX_HOSTS, max_entries=32768)),
    ]
    alerts = [alert for detector in detectors for alert in detector.feed(events)]
    return frozenset((alert.detector, format_address(alert.source)) for alert in alerts)


def material_of(events: Sequence[PacketLogged]) -> Material:
    """Count the content of these events, independently of the detectors."""
    ports = defaultdict(set)
    hosts = defaultdict(set)
    for event in events:
        hosts[event.source].add(event.destination)
        if event.destination_port is not None:
            ports[event.source].add((event.protocol, event.destination_port))
    return Material(
        lines=len(events),
        ports=max(map(len, ports.values()), default=1),
        hosts=max(map(len, hosts.values()), default=1),
    )


def is_enough(found: Material, wanted: Material) -> bool:
    """Whether all counts reach the minimum."""
    return found.lines >= wanted.lines and found.ports >= wanted.ports and found.hosts >= wanted.hosts
