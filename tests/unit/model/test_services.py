"""Services: what worked or listens is known, and what is known is no probe."""

from typing import Any

import pytest

from monitor.model.addresses import parse_address
from monitor.model.flows import FlowBatch, FlowEstablished, FlowIncomplete, FlowListed
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import _MAX_REDIRECTED_PORTS, _MAX_SERVICES, ANY_ADDRESS, KEPT_S, Services
from tests.support.flows import NODE, flow, handshakes, incomplete

POD = "10.244.1.7"


def known(batch: FlowBatch) -> Services:
    """Return services that learned from a batch on a node with a pod."""
    services = Services()
    services.note(batch, {parse_address(NODE), parse_address(POD)}.__contains__)
    return services


def serves(services: Services, attempt: FlowIncomplete) -> bool:
    """Whether an attempt is one at a known service."""
    return services.serves(attempt, is_own=attempt.destination == parse_address(NODE))


@pytest.mark.parametrize(
    "batch",
    [
        FlowBatch(1000.0, completed=handshakes(1)),
        FlowBatch(1000.0, listed=[flow(FlowListed)]),
        FlowBatch(1000.0, incomplete=[incomplete(was_answered=True)]),
    ],
)
def test_what_worked_is_known_for_a_day(batch: FlowBatch) -> None:
    """A complete handshake, one that was there before, an answer; neighbours of the service are not known."""
    services = known(batch)
    assert serves(services, incomplete())
    assert serves(services, incomplete(time_s=1000.0 + KEPT_S))
    assert not serves(services, incomplete(time_s=1001.0 + KEPT_S))
    assert not serves(services, incomplete(port=23))
    assert not serves(services, incomplete(to=POD))
    assert services.has_port(PROTOCOL_TCP, 22)
    assert services.take_new() == [(parse_address(NODE), PROTOCOL_TCP, 22)]
    assert services.take_new() == []


def test_what_is_refused_is_not_known() -> None:
    """Nor are services elsewhere, to which hosts behind the node connect."""
    services = known(FlowBatch(1000.0, incomplete=[incomplete(was_refused=True), incomplete(port=23)]))
    assert len(services) == 0
    services = known(FlowBatch(1000.0, completed=handshakes(1, POD, to="203.0.113.9")))
    assert len(services) == 0


def test_a_service_behind_nat_is_known_by_both_its_names() -> None:
    """The NodePort and the pod's port."""
    services = known(FlowBatch(1000.0, completed=[flow(FlowEstablished, port=30080, real_to=POD, real_port=8080)]))
    assert serves(services, incomplete(port=30080))
    assert serves(services, incomplete(port=8080, to=POD))
    assert not serves(services, incomplete(port=8080))


def test_ports_that_lead_to_a_pod_are_services() -> None:
    """While it is being restarted as well; but a host to which all ports lead can be scanned."""

    def redirected(port: int, to: str = POD) -> FlowIncomplete:
        real: dict[str, Any] = {"real_destination": parse_address(to), "real_destination_port": port - 30_000}
        return incomplete(port=port, was_refused=True, **real)

    services = Services()
    assert all(serves(services, redirected(port)) for port in range(30_000, 30_000 + _MAX_REDIRECTED_PORTS))
    assert not serves(services, redirected(32_000))
    assert serves(services, redirected(30_000, "10.244.1.8"))


def test_listeners_are_followed() -> None:
    """One on all addresses serves at each of the node's, one on loopback only there; those that are closed are gone."""
    services = Services()
    loopback = parse_address("127.0.0.1")
    services.follow({(ANY_ADDRESS, PROTOCOL_TCP, 80), (loopback, PROTOCOL_TCP, 25)})
    assert serves(services, incomplete(port=80))
    assert not serves(services, incomplete(port=80, to=POD))
    assert not serves(services, incomplete(port=25))
    assert sorted(services.take_new()) == [(ANY_ADDRESS, PROTOCOL_TCP, 80), (loopback, PROTOCOL_TCP, 25)]
    services.follow(())
    assert not serves(services, incomplete(port=80))
    assert not services.has_port(PROTOCOL_TCP, 80)


def test_they_are_bounded() -> None:
    """The one seen longest ago is forgotten first."""
    services = Services()
    flows = [flow(FlowEstablished, port=number, to="10.0.0.1") for number in range(_MAX_SERVICES)]
    services.note(FlowBatch(1000.0, completed=flows), lambda _: True)
    services.note(FlowBatch(1001.0, completed=handshakes(1)), lambda _: True)
    assert len(services) == _MAX_SERVICES
    assert not serves(services, incomplete(port=0, to="10.0.0.1"))
    assert serves(services, incomplete())
    assert not services.has_port(PROTOCOL_TCP, 0)


def test_they_survive_a_restart() -> None:
    """Those of the last day, which are no news."""
    kept = list(known(FlowBatch(1000.0, completed=handshakes(1))).remembered())
    for now_s, is_kept in ((1100.0, True), (1001.0 + KEPT_S, False), (900.0, False)):
        services = Services()
        services.remember(kept, now_s)
        assert (len(services) == 1) is is_kept
        assert services.take_new() == []
