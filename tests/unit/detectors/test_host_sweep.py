"""Host sweeps: one port, many destinations."""

from monitor.detectors.host_sweep import HostSweepDetector, HostSweepSettings
from monitor.detectors.limits import Limits
from monitor.model.protocols import TCP_RST
from tests.support.detectors import Samples
from tests.support.events import tcp
from tests.support.flows import CLIENT, incomplete

LIMITS = Limits(600.0, 10, 1000)
SAMPLES = Samples(
    HostSweepSettings(maxretry=3),
    fires=[tcp(CLIENT, 22, to="10.0.0.1"), tcp(CLIENT, 22, to="10.0.0.2"), incomplete(CLIENT, 22, to="10.0.0.3")],
    quiet={
        "one host again and again is no sweep": [tcp(CLIENT, 22)] * 9,
        "ports do not add up": [tcp(CLIENT, 20 + number, to=f"10.0.0.{number}") for number in range(1, 9)],
        "late packets of closed connections": [
            tcp(CLIENT, 22, to=f"10.0.0.{number}", flags=TCP_RST) for number in range(1, 9)
        ],
        "broadcasts address everybody": [tcp(CLIENT, 22, to=f"224.0.0.{number}") for number in range(1, 9)],
    },
)


def test_sweeps_are_seen() -> None:
    """One port on ten hosts fires, and the evidence names port and hosts."""
    alerts = HostSweepDetector(LIMITS).feed([tcp("192.0.2.7", 22, to=f"10.0.0.{host}") for host in range(10)])
    assert [alert.evidence.what for alert in alerts] == ["distinct hosts on tcp/22"]
    assert alerts[0].evidence.sample[:2] == ("10.0.0.0", "10.0.0.1")
