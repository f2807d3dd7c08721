"""Whatever happens, in any order: once all nodes reach the server, each holds what the others decided, and no more."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.fleet.fields import field_of
from monitor.fleet.publication import is_shared
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import ClaimOrigin
from tests.support.fleet_nodes import Clock, Node, Server, meet

_NODES = ("alpha", "beta", "gamma")
_NETWORKS = ("198.51.100.1", "198.51.100.2", "2001:db8:1::/64", "198.51.100.9")
_NODE = st.integers(0, len(_NODES) - 1)
_NETWORK = st.sampled_from(_NETWORKS)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ban"), _NODE, _NETWORK, st.sampled_from((600.0, 7200.0))),
        st.tuples(st.just("ban_for_fleet"), _NODE, _NETWORK, st.just(3600.0)),
        st.tuples(st.just("manual"), _NODE, _NETWORK, st.just(3600.0)),
        st.tuples(st.just("unban"), _NODE, _NETWORK, st.just(0.0)),
        st.tuples(st.sampled_from(("cut", "heal", "restart", "sync", "wipe")), _NODE, st.just(""), st.just(0.0)),
        st.tuples(st.just("wait"), _NODE, st.just(""), st.sampled_from((1.0, 700.0))),
    ),
    max_size=30,
)


def _do(node: Node, nodes: list[Node], what: str, network: str, value: float) -> None:
    if what == "ban":
        node.ban(network, bantime_s=value)
    elif what == "ban_for_fleet":
        node.ban_for_fleet(network, value)
    elif what == "manual":
        node.ban(network, bantime_s=value, origin=ClaimOrigin.OPERATOR, name="manual")
    elif what == "unban":
        node.unban(network)
    elif what in ("cut", "heal"):
        node.reachable = what == "heal"
    elif what == "wipe":
        node.server.wipe()
    elif what == "wait":
        node.clock.now_s += value
        for one in nodes:
            one.tick()
    else:
        getattr(node, what)()


@settings(max_examples=40, deadline=None)
@given(_STEPS, st.sampled_from((0.0, 3600.0, -86400.0 * 365)))
def test_all_nodes_agree_in_the_end(steps: list[tuple[str, int, str, float]], ahead_s: float) -> None:
    server, clock = Server(), Clock()
    nodes = [
        Node(name, server, clock, bans_per_minute=100_000, ahead_s=ahead_s if name == "beta" else 0.0)
        for name in _NODES
    ]
    own: dict[str, dict[tuple[str, str], float]] = {name: {} for name in _NODES}
    for what, index, network, value in steps:
        node = nodes[index]
        _do(node, nodes, what, network, value)
        if what in ("ban", "ban_for_fleet", "manual"):
            origin = {"ban": "sshd", "ban_for_fleet": "fleet", "manual": "manual"}[what]
            ends = own[node.name]
            ends[network, origin] = max(ends.get((network, origin), 0.0), clock.now_s + value)
        elif what == "unban":
            own[node.name] = {key: end_s for key, end_s in own[node.name].items() if key[0] != network}
    for node in nodes:
        node.reachable = True
        node.tick()
    meet(*nodes)
    for node in nodes:
        # own claims are what this node did: no peer ended or made one
        mine = {key for key, end_s in own[node.name].items() if end_s > clock.now_s}
        claims = list(node.pipeline.ledger.all_claims())
        covered = {(str(one.network), one.detector) for one in claims if one.origin.is_local}
        assert covered <= mine
        assert {network for network, _ in mine} == {network for network, _ in covered}
        # what is published is decided here
        shared = {
            field_of(one.network, one.strength): one.until_s - node.ahead_s
            for one in sorted(claims, key=lambda one: one.until_s)
            if is_shared(one, node.settings.fleet)
        }
        assert {field: round(one.until_s) for field, one in server.hashes[node.name].items()} == {
            field: round(end_s) for field, end_s in shared.items()
        }
        for other in nodes:
            if other is not node:
                held = {
                    field_of(one.network, one.strength): round(one.until_s - other.ahead_s)
                    for one in other.pipeline.ledger.all_claims()
                    if one.origin is ClaimOrigin.PEER and one.detector == node.name
                }
                assert held == {field: round(end_s) for field, end_s in shared.items()}
                peer = other.fleet.peers.find(node.name)
                assert peer is not None
                assert (peer.enforced, peer.observed) == (len(held), 0)


def test_a_peers_unban_ends_no_other_claim() -> None:
    server, clock = Server(), Clock()
    one, other = Node("one", server, clock), Node("other", server, clock)
    network = "198.51.100.1"
    for node in (one, other):
        node.ban(network)
    meet(one, other)
    one.unban(network)
    meet(one, other)
    assert other.enforced() == {network}
    assert one.held("other") == {network}
    other.unban(network)
    meet(one, other)
    assert one.enforced() == other.enforced() == set()
    assert one.pipeline.ledger.get(parse_network(network), Strength.PROVEN) is None
