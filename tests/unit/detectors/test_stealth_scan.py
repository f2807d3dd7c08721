"""Stealth scans: FIN, NULL, Xmas and SYN/FIN packets."""

from monitor.detectors.stealth_scan import StealthScanSettings
from tests.support.detectors import Samples
from tests.support.refused_ports import probed

SAMPLES = Samples(
    StealthScanSettings(maxretry=8),
    fires=[probed(stealth=4), probed(stealth=3, first=2, time_s=1100.0), probed(stealth=3, first=5, time_s=1200.0)],
    quiet={
        "the same ports again and again": [probed(stealth=6, time_s=1000.0 + step) for step in range(99)],
        "one port, as with a dead syslog server": [probed(stealth=1, time_s=1000.0 + step) for step in range(99)],
        "sources do not add up": [probed(stealth=6, first=6 * n, source=f"192.0.2.{n + 1}") for n in range(9)],
        "ports of more than findtime": [probed(stealth=4, first=4 * n, time_s=1000.0 + 700 * n) for n in range(9)],
        "probes of the other kind": [probed(closed=60)],
    },
)
