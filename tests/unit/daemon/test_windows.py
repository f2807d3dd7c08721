"""Windows that are too small: what `status` and `doctor` say of them."""

from monitor.daemon.selfcheck.windows import window_problems, windows_part
from monitor.detectors.failures import FailuresDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from tests.support.events import failure, tcp


def test_a_flood_that_blinds_is_a_problem_until_it_is_over() -> None:
    """Status and the self-check name the detector, the setting and the command, for one to two minutes."""
    detector = PortScanDetector(Limits(600.0, 15, 1024))
    assert window_problems([detector]) == []
    assert windows_part([detector]).state == "ok"
    for number in range(3000):
        source = f"{number >> 8}.{number & 255}.7.1"
        detector.feed([tcp(source, 80, time_s=1000.0 + number / 1000)])
    (problem,) = window_problems([detector])
    assert problem.startswith("the window of port_scan is full: it forgot ")
    assert problem.endswith("may miss slow attackers; raise detectors.port_scan.max_entries (now 1024)")
    part = windows_part([detector])
    assert part.state == "could be better"
    assert part.requirements[0].repair == (
        "echo 'detectors: {port_scan: {max_entries: 2048}}' > /etc/nodewarden/conf.d/60-port_scan.yaml && "
        "systemctl reload nodewarden"
    )
    detector.stats.turn()
    assert window_problems([detector])
    detector.stats.turn()
    assert window_problems([detector]) == []


def test_a_network_that_takes_more_than_its_share_is_named() -> None:
    """A failures detector, which has a section of its own name, and a /48 that fills it."""
    detector = FailuresDetector("sshd", Limits(600.0, 5, 1024))
    detector.feed([failure(f"2001:db8:7:{number:x}::1", time_s=1000.0) for number in range(3000)])
    (problem,) = window_problems([detector])
    assert "(kept to their share: 2001:db8:7::/48)" in problem
    assert "raise detectors.failures.sshd.max_entries" in problem
    (requirement,) = windows_part([detector]).requirements
    assert "'detectors: {failures: {sshd: {max_entries: 2048}}}'" in requirement.repair


def test_a_flood_of_long_ago_is_no_problem() -> None:
    """Sources that were silent for half of findtime, and had one item: nothing about them was going to cross."""
    detector = PortScanDetector(Limits(600.0, 15, 1024))
    for number in range(1500):
        detector.feed([tcp(f"{number >> 8}.{number & 255}.7.1", 80, time_s=1000.0 + number / 3)])
    assert detector.stats.evicted_keys > 400
    assert window_problems([detector]) == []
