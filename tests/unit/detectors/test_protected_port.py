"""Protected ports: who completes a connection to a service that is not for him."""

from collections.abc import Iterable

import pytest

from monitor.config.types import PortRange
from monitor.detectors.limits import Limits
from monitor.detectors.proofs import Proofs
from monitor.detectors.protected_port import ProtectedPortDetector, ProtectedPortSettings, ProtectedServiceSettings
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Alert, Strength
from monitor.model.flows import Flow, FlowBatch, FlowClosed, FlowListed, FlowOpened, ListenTotals
from monitor.model.networks import Networks, Surrounding
from monitor.model.protocols import PROTOCOL_SCTP
from tests.support.detectors import Samples
from tests.support.flows import CLIENT, flow, handshakes, incomplete

LIMITS = Limits(60.0, 1)
INSIDE = (parse_network("10.0.0.0/8"), parse_network("fc00::/7"))
KUBELET = {"kubelet": ProtectedServiceSettings(ports=(PortRange(10250, 10250),), networks=INSIDE)}
ETCD = {"etcd": ProtectedServiceSettings(ports=(PortRange(2379, 2380),), networks=())}
SAMPLES = Samples(
    ProtectedPortSettings(),
    fires=[FlowBatch(1000.0, completed=handshakes(1, port=10250))],
    quiet={
        "private networks may have it": [FlowBatch(1000.0, completed=handshakes(9, "10.1.2.3", 10250))],
        "attempts are no connections": [FlowBatch(1000.0, opened=[flow(FlowOpened, port=10250)])],
        "other ports": [FlowBatch(1000.0, completed=handshakes(9, port=443))],
    },
)


def detector(services: dict[str, ProtectedServiceSettings] | None = None) -> ProtectedPortDetector:
    """Return one for these services, or for kubelet and etcd."""
    return ProtectedPortDetector(LIMITS, services or KUBELET | ETCD)


def feed(known: ProtectedPortDetector, completed: Iterable[Flow]) -> list[Alert]:
    """Feed complete connections."""
    return list(known.feed([FlowBatch(1005.0, completed=list(completed))]))


@pytest.mark.parametrize("source", [CLIENT, "2001:db8::7"])
def test_one_connection_is_enough(source: str) -> None:
    """The alert names service and port; it proves nothing yet, and names the handshakes with just that service."""
    (alert,) = feed(detector(), handshakes(1, source, 10250))
    assert (alert.detector, alert.source, alert.time_s) == ("protected_port", parse_address(source), 1000.0)
    assert (alert.evidence.what, alert.evidence.count) == ("connection to kubelet (tcp/10250)", 1)
    assert alert.strength is Strength.SPOOFABLE
    assert detector().count(parse_address(source)) == 0


@pytest.mark.parametrize(("port", "count"), [(2378, 0), (2379, 1), (2380, 1), (2381, 0), (22, 0), (10250, 1)])
def test_all_ports_of_a_service_count_and_no_others(port: int, count: int) -> None:
    """Ranges have both their ends."""
    assert len(feed(detector(), handshakes(1, port=port))) == count


@pytest.mark.parametrize(("port", "real_port"), [(30443, 10250), (10250, 443)])
def test_before_and_behind_translation(port: int, real_port: int) -> None:
    """A node port that leads to a protected one counts, and so does a protected one that leads elsewhere."""
    (alert,) = feed(detector(), handshakes(1, port=port, real_port=real_port, real_to="10.1.0.7"))
    assert alert.evidence.what == f"connection to kubelet (tcp/{port})"


@pytest.mark.parametrize("source", ["10.200.0.1", "fd00::7"])
def test_who_may_have_it_is_not_told_of(source: str) -> None:
    """The networks of a service are that service's: they have no other."""
    assert feed(detector(), handshakes(5, source, 10250)) == []
    assert len(feed(detector(), handshakes(5, source, 2379))) == 5


def test_the_allowlist_may_have_everything() -> None:
    """Also where a service is for nobody; and only for as long as they are on it."""
    known = detector()
    known.follow(Surrounding(protected=Networks([parse_network("198.51.100.0/24")])))
    assert feed(known, [*handshakes(5, port=2379), *handshakes(5, port=10250)]) == []
    assert len(feed(known, handshakes(1, "203.0.113.1", 2379))) == 1
    known.follow(Surrounding())
    assert len(feed(known, handshakes(1, port=2379))) == 1


def test_of_two_services_with_one_port_both_are_looked_at() -> None:
    """Who may have the first and not the second is told of, for the second; one connection is one alert."""
    networks = (parse_network("198.51.100.0/24"),)
    wide = {"wide": ProtectedServiceSettings(ports=(PortRange(2379, 2379),), networks=networks)}
    (alert,) = feed(detector(wide | ETCD), handshakes(1, port=2379))
    assert alert.evidence.what.startswith("connection to etcd")
    assert len(feed(detector(wide | ETCD), handshakes(1, "203.0.113.1", 2379))) == 1


def test_attempts_are_no_connections() -> None:
    """Whom the firewall turns away, and what was there before, is not told of; nor is SCTP to that port."""
    batch = FlowBatch(
        1000.0,
        opened=[flow(FlowOpened, port=10250)],
        ending=[flow(FlowClosed, port=10250)],
        listed=[flow(FlowListed, port=10250)],
        incomplete=[incomplete(port=10250)],
        attempts=1,
        completions=1,
    )
    assert list(detector().feed([batch])) == []
    assert feed(detector(), handshakes(1, port=10250, protocol=PROTOCOL_SCTP)) == []


def test_alerts_of_one_look_are_bounded() -> None:
    """A thousand at once are told of 64 times; the next look begins anew."""
    known = detector()
    for _ in range(2):
        assert len(feed(known, handshakes(1000, port=10250))) == 64
    mixed = [one for pair in zip(handshakes(70, port=22), handshakes(70, port=10250), strict=True) for one in pair]
    assert len(feed(known, mixed)) == 64


def test_four_connections_with_that_service_are_proof() -> None:
    """Its key is that under which the handshakes are known, before translation; others of the source do not help."""
    proofs = Proofs()
    proofs.settle(0, ListenTotals(accepted=1000), 1000.0)
    proofs.note(handshakes(1000, port=443))
    proofs.note(handshakes(3, port=30443, real_port=10250))
    proofs.settle(0, ListenTotals(accepted=2003), 1001.0)
    (alert,) = feed(detector(), handshakes(1, port=30443, real_port=10250))
    assert proofs.strength(alert) is Strength.SPOOFABLE
    proofs.note(handshakes(1, port=30443, real_port=10250))
    proofs.settle(0, ListenTotals(accepted=3000), 1002.0)
    assert proofs.strength(alert) is Strength.PROVEN
