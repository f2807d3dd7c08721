"""Which pods a source tried to reach: bounded, whatever attackers send."""

from monitor.daemon.pipeline.pod_hits import MAX_PODS, MAX_SOURCES, PodHits
from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowOpened
from monitor.model.pods import Pod, Pods, PodTable
from tests.support.events import tcp
from tests.support.flows import CLIENT, NODE, flow


def known(count: int = 1) -> Pods:
    """Return pods that are known: 10.244.0.N is shop/web-N."""
    pods = Pods()
    addresses = {parse_address(f"10.244.0.{number}"): Pod("shop", f"web-{number}") for number in range(count)}
    pods.take(PodTable(addresses), 0.0)
    return pods


def to_pod(number: int = 0, source: str = CLIENT) -> Flow:
    """Return an attempt at a NodePort, behind which a pod answers."""
    return flow(FlowOpened, source, 30080, real_to=f"10.244.0.{number}", real_port=8080)


def test_attempts_at_pods_are_counted_by_pod() -> None:
    """Of flows the pod that really answers, of logged packets the destination; the node itself is no pod."""
    hits = PodHits(known(2))
    hits.note_flows([to_pod(1), flow(FlowOpened, CLIENT, 22, to=NODE), to_pod(0)])
    hits.note_packets([tcp(CLIENT, 23, to="10.244.0.1")])
    assert hits.of(parse_address(CLIENT)) == {"shop/web-1": 2, "shop/web-0": 1}
    assert hits.of(parse_address(NODE)) == {}


def test_a_pod_that_calls_itself_hits_nobody() -> None:
    """Its own address is no attack on it; another pod's is as good as anybody's."""
    hits = PodHits(known(2))
    hits.note_flows([to_pod(0, source="10.244.0.0"), to_pod(1, source="10.244.0.0")])
    assert hits.of(parse_address("10.244.0.0")) == {"shop/web-1": 1}


def test_what_is_remembered_is_bounded() -> None:
    """The latest sources, and for each the first pods."""
    hits = PodHits(known(MAX_PODS + 1))
    hits.note_flows([to_pod(number) for number in range(MAX_PODS + 1)])
    assert len(hits.of(parse_address(CLIENT))) == MAX_PODS
    hits.note_flows(to_pod(0, f"100.64.{number >> 8}.{number & 255}") for number in range(MAX_SOURCES))
    assert hits.of(parse_address(CLIENT)) == {}
    assert hits.of(parse_address("100.64.0.0")) == {"shop/web-0": 1}
