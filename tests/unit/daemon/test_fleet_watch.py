"""How the fleet is: never well while it cannot be used, and quick for a fleet of any size."""

from typing import Any

from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.fleet.watch import FleetWatch
from monitor.fleet.overview import FleetView, NodeView
from tests.support.fleet_view import Member, hello, node, view


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _watch(*peers: NodeView, **more: Any) -> FleetWatch:
    return FleetWatch(Member(lambda _: view(*peers, **more)), _Clock())


def _problems(*peers: NodeView, **more: Any) -> list[tuple[str, str]]:
    return [(one.kind.value, one.text) for one in _watch(*peers, **more).problems()]


def test_a_fleet_that_is_well_is_no_problem() -> None:
    """Nor is a node that is in none: it has no series and no line in `status`."""
    assert _problems(node("web-1")) == []
    alone = FleetWatch(Member(lambda _: None))
    assert (list(alone.problems()), list(alone.notices()), list(alone.samples())) == ([], [], [])
    assert alone.describe() is None
    assert alone.page("", 10, frozenset()) == {"fleet": None, "nodes": [], "after": ""}


def test_everything_that_keeps_it_from_working_is_a_problem() -> None:
    """Server away, server in trouble, changes that wait, a breaker, too many nodes."""
    ((kind, text),) = _problems(is_connected=False, problem="wrong password")
    assert kind == "fleet"
    assert "rediss://redis.example.org:6379 cannot be used: wrong password; bans in force stay" in text
    assert _problems(is_connected=False, changed_s=2.0) == []  # it is being connected to
    assert [kind for kind, _ in _problems(problem="read-only")] == ["fleet"]
    assert [kind for kind, _ in _problems(waiting=9, waiting_s=61.0)] == ["fleet_waiting"]
    assert [kind for kind, _ in _problems(omitted_nodes=3)] == ["fleet"]
    tripped = NodeView("web-9", hello(), 1.0, breaker="3 allowed networks in 10 min")
    ((kind, text),) = _problems(tripped)
    assert kind == "fleet_breaker"
    assert "web-9" in text
    assert "nodewarden fleet trust web-9" in text
    many = [NodeView(f"p{number}", hello(), 1.0, breaker="x") for number in range(500)]
    assert len(_problems(*many)) == 33


def test_a_difference_is_a_note_first_and_then_a_problem() -> None:
    """A rollout takes a while; what stays is wrong. What is gone and comes back starts anew."""
    clock = _Clock()
    peers = [node("a", allowlist="x")]
    watch = FleetWatch(Member(lambda _: view(*peers, node("b"))), clock)
    assert (list(watch.notices()), list(watch.problems())) == ([], [])
    assert [one["text"] for one in (watch.describe() or {})["differences"]] == ["a: other allowlist than 2 of 3"]
    clock.now_s += 61
    assert (len(list(watch.notices())), list(watch.problems())) == (1, [])
    clock.now_s += 901
    assert [one.kind.value for one in watch.problems()] == ["fleet_differs"]
    assert list(watch.notices()) == []
    peers[0] = node("a")
    clock.now_s += 10
    assert list(watch.problems()) == []
    peers[0] = node("a", allowlist="x")
    clock.now_s += 10
    list(watch.notices())
    clock.now_s += 61
    assert (len(list(watch.notices())), list(watch.problems())) == (1, [])


def test_silent_nodes_and_clocks_are_noted() -> None:
    """They are no problem of this node."""
    notes = list(_watch(node("web-1", seen_s=70.0), clock_offset_s=-400.0).notices())
    assert notes == [
        "fleet: no sign of life of web-1; their bans run out",
        "fleet: the server's clock is -400 s from this node's; times are converted",
    ]


def test_the_view_of_a_large_fleet_is_made_seldom() -> None:
    """Each second for a few nodes, every fifty for ten thousand: problems and metrics ask all the time."""
    for size, every_s in ((10, 1.06), (10_000, 51.0)):
        clock = _Clock()
        made: list[float] = []
        nodes = [NodeView(f"n{number}", None, None) for number in range(size)]

        def look(now_s: float, nodes: list[NodeView] = nodes, made: list[float] = made) -> FleetView:
            made.append(now_s)
            return view(*nodes)

        watch = FleetWatch(Member(look), clock)
        for _ in range(100):
            list(watch.problems())
            list(watch.samples())
            clock.now_s += every_s / 10
        assert 9 <= len(made) <= 11


def test_names_of_peers_are_labels_for_a_few_only() -> None:
    """However many peers there are, and whatever they are called; nothing is counted twice or left out."""
    peers = [NodeView(f"n{number:03}", hello(), 1.0, enforced=2, observed=1) for number in range(100)]
    peers.append(NodeView("other", hello(), 1.0, enforced=2, observed=1))
    samples = list(_watch(*peers).samples())
    bans = {labels: value for name, labels, value in samples if name == "nodewarden_fleet_peer_bans"}
    assert len({peer for peer, _ in bans}) == 33
    assert sum(value for (_, mode), value in bans.items() if mode == "enforce") == 202
    assert len({(name, labels) for name, labels, _ in samples}) == len(samples)
    assert all(len(labels) == len(BY_NAME[name].labels) for name, labels, _ in samples)


def test_pages_add_up() -> None:
    """Each node is on one page, by name; some can be asked for."""
    watch = _watch(*(node(f"n{number:02}") for number in range(25)))
    names, after = [], ""
    while True:
        page = watch.page(after, 10, frozenset())
        names += [one["name"] for one in page["nodes"]]
        if not (after := page["after"]):
            break
    assert names == sorted(["here", *(f"n{number:02}" for number in range(25))])
    assert [one["name"] for one in watch.page("", 10, frozenset({"n03", "nobody"}))["nodes"]] == ["n03"]
    assert page["fleet"]["nodes"] == page["fleet"]["alive"] == 26
