"""Who differs from the rest of the fleet: named in words, the same on every node, and only nodes that are alive."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.fleet.comparison import Subject, differing
from monitor.fleet.overview import NodeView
from tests.support.fleet_view import node


def _texts(*nodes: NodeView) -> list[str]:
    return [one.text for one in differing(nodes)]


def _ten(**odd: Any) -> list[NodeView]:
    return [node(f"web-{number}", **(odd if number == 3 else {})) for number in range(10)]


def test_equal_nodes_do_not_differ() -> None:
    """Nor do those that have been silent for more than a minute, whatever they said then."""
    assert _texts(*_ten()) == []
    assert _texts(*_ten(), node("old", seen_s=61.0, allowlist="a9", drift=5), NodeView("never", None, None)) == []


def test_the_odd_one_is_named_for_each_subject() -> None:
    """In words, with how many agree."""
    assert _texts(*_ten(allowlist="a2")) == ["web-3: other allowlist than 9 of 10"]
    assert _texts(*_ten(configuration="c2")) == ["web-3: other configuration than 9 of 10"]
    assert _texts(*_ten(version="0.9")) == ["web-3: version 0.9, 9 of 10: 1.0"]
    assert _texts(*_ten(drift=4)) == ["web-3: other programs changed the table 4 times"]
    assert _texts(node("a", audit="x"), node("b", audit="y"), node("c", audit="x")) == [
        "b: other result of the last audit than 2 of 3"
    ]


def test_nodes_of_different_roles_are_not_configured_alike() -> None:
    """Configuration and audit are compared within a role; the allowlist and the version are the fleet's."""
    edges = [node(f"edge-{number}", role="edge", configuration="e") for number in range(3)]
    bases = [node(f"db-{number}", role="db", configuration="d" if number else "x") for number in range(3)]
    assert _texts(*edges, *bases) == ["db-0: other configuration than 2 of 3 of role db"]
    other = [node("db-0", role="db", configuration="d", allowlist="a2"), *bases[1:]]
    assert _texts(*edges, *other) == ["db-0: other allowlist than 5 of 6"]


def test_two_that_differ_are_named_with_each_other() -> None:
    """Nobody is right by number: the first by name is taken for it, on both nodes."""
    assert _texts(node("b", allowlist="a2"), node("a")) == ["b: other allowlist than a"]


def test_a_node_without_an_audit_is_not_compared() -> None:
    """An empty digest says that there was none."""
    assert _texts(node("a", audit="x"), node("b"), node("c")) == []


def test_many_odd_ones_are_counted() -> None:
    """The text stays short; the names are all there."""
    nodes = [node(f"web-{number:02}", allowlist="a2" if number < 8 else "a1") for number in range(30)]
    (found,) = differing(nodes)
    assert found.text == "web-00, web-01, web-02, web-03, web-04 and 3 more: other allowlist than 22 of 30"
    assert len(found.nodes) == 8
    nodes[0] = node("web-00", allowlist="a3")
    assert differing(nodes)[0].text.endswith("than 22 of 30, in 2 variants")


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 2)), max_size=12), st.randoms()
)
def test_every_node_says_the_same(said: list[tuple[str, str, int]], chance: random.Random) -> None:
    """Whatever the order in which nodes are known; who is named has another value than most, or drift."""
    nodes = [
        node(f"n{number}", allowlist=allowlist, configuration=configuration, drift=drift)
        for number, (allowlist, configuration, drift) in enumerate(said)
    ]
    found = differing(nodes)
    chance.shuffle(nodes)
    assert differing(nodes) == found
    for one in found:
        if one.subject is Subject.DRIFT:
            assert set(one.nodes) == {view.name for view in nodes if view.hello and view.hello.drift}
        else:
            assert len(one.nodes) < len(nodes)
