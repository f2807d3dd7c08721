"""Alerts name the side of the node: address and service that were attacked, or who called out."""

import pytest

from monitor.detectors.registration import AnyRegistration
from monitor.detectors.registry import ALL
from monitor.model.addresses import format_address
from monitor.model.alerts import Party
from monitor.model.flows import FlowBatch, FlowIncomplete
from tests.support.events import failure
from tests.support.flows import NODE, incomplete
from tests.unit.detectors.test_outbound_scan import POD
from tests.unit.detectors.test_registry import feed, made, samples_of

WITHOUT = ("closed_port_scan", "drop_rate", "packet_rate", "stealth_scan", "syn_rate", "udp_rate")
"""They count packets by source: where these went is not reported."""
CALLERS = {"egress": NODE, "outbound_scan": POD}


@pytest.mark.parametrize("registration", ALL, ids=lambda one: str(one.name))
def test_every_alert_names_our_side_where_its_events_do(registration: AnyRegistration) -> None:
    """An address with a service; those who call out are ours; a log names its detector only."""
    samples = samples_of(registration)
    alert = feed(made(registration, samples.section), samples.fires)[-1][0]
    ours = alert.ours
    if registration.name in WITHOUT:
        assert ours == Party()
    elif registration.name == "failures":
        assert ours == Party(service="sshd")
    else:
        assert ours.address
        assert ours.service.partition("/")[0] in ("tcp", "udp")
    if registration.name in CALLERS:
        assert format_address(ours.address) == CALLERS[registration.name]


def test_a_service_is_named_by_what_answers_behind_it() -> None:
    """Behind destination NAT the attacked address is that of the pod."""
    registration = next(one for one in ALL if one.name == "host_sweep")
    pods = [bytes((10, 244, 0, number)) for number in range(1, 200)]
    attempts: list[FlowIncomplete | FlowBatch] = [
        incomplete(to=f"192.0.2.{number}", real_destination=pod) for number, pod in enumerate(pods, 1)
    ]
    (alert, *_) = (one for raised in feed(made(registration, registration.settings()), attempts) for one in raised)
    assert alert.ours.address in pods


def test_the_log_of_a_pod_names_it() -> None:
    """Namespace and name are in the path that the kubelet gives the log."""
    registration = next(one for one in ALL if one.name == "failures")
    path = "/var/log/pods/shop_web-7d_0b1c/nginx/0.log"
    events = [failure("192.0.2.7", log=path)] * 50
    raised = feed(made(registration, samples_of(registration).section), events)
    (alert, *_) = (one for found in raised for one in found)
    assert alert.ours == Party(service="sshd", pod="shop/web-7d")
