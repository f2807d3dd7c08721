"""What peers sent is applied in slices, and how these are cut changes nothing."""

from collections.abc import Sequence
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.daemon.fleet import work
from monitor.fleet.engine import Change, Kind
from monitor.fleet.records import VERSION, BanRecord, PardonRecord, SharedSet, encode
from tests.support.fleet_nodes import NOW_S, Clock, Node, Server

_RECORD = BanRecord(VERSION, 7, "198.51.100.1", SharedSet.BAN, NOW_S - 10.0, NOW_S + 3600.0, "sshd", "5 failures")
_NETWORKS = [f"198.51.100.{number}" for number in range(4)] + ["198.51.100.0/30", "2001:db8::1", "203.0.113.9"]
_ALLOWED = "203.0.113.9"


def _ban(net: str, until_s: float = NOW_S + 3600.0, shared: SharedSet = SharedSet.BAN) -> Change:
    record = msgspec.structs.replace(_RECORD, net=net, until_s=until_s, set=shared)
    return Change(Kind.BAN, f"{shared} {net}".encode(), encode(record), until_s)


def _pardon(net: str) -> Change:
    record = PardonRecord(VERSION, 8, net, NOW_S, NOW_S + 600.0)
    return Change(Kind.PARDON, net.encode(), encode(record), record.until_s)


_NETS = st.sampled_from(_NETWORKS)
_CHANGES = st.one_of(
    st.builds(_ban, _NETS, st.sampled_from([NOW_S - 1.0, NOW_S + 60.0, NOW_S + 3600.0]), st.sampled_from(SharedSet)),
    st.builds(lambda net: Change(Kind.UNBAN, f"ban {net}".encode()), _NETS),
    st.builds(_pardon, _NETS),
    st.just(Change(Kind.BAN, b"ban nobody", b"x")),
)


def _outcome(changes: Sequence[Change], *, part: int, looks_s: float) -> object:
    node = Node("one", Server(), Clock(), allowlist=[_ALLOWED])
    with patch.object(work, "_PART", part), patch.object(work, "_LOOKS_S", looks_s):
        node.fleet.changed("peer", changes)
        node.work()
    peer = node.fleet.peers.find("peer")
    assert peer is not None
    return node.claims(), node.fleet.peers.refused, len(node.fleet.pardons), (peer.enforced, peer.observed)


@given(st.lists(_CHANGES, min_size=8, max_size=30))
@settings(max_examples=40, deadline=None)
def test_it_does_not_matter_how_changes_are_cut_into_slices(changes: Sequence[Change]) -> None:
    assert _outcome(changes, part=1, looks_s=-1.0) == _outcome(changes, part=32, looks_s=float("inf"))


def test_a_record_that_is_over_ends_the_ban_that_came_just_before_it() -> None:
    """The peer wrote another end into it."""
    node = Node("one", Server(), Clock())
    node.fleet.changed("peer", [_ban(_NETWORKS[0]), _ban(_NETWORKS[0], NOW_S - 1.0), _ban(_NETWORKS[1])])
    node.work()
    assert node.held("peer") == {_NETWORKS[1]}


def test_a_pardon_ends_the_ban_that_came_just_before_it() -> None:
    node = Node("one", Server(), Clock())
    node.fleet.changed("peer", [_ban(_NETWORKS[0]), _pardon(_NETWORKS[0]), _ban(_NETWORKS[1])])
    node.work()
    assert node.held("peer") == {_NETWORKS[1]}


@pytest.mark.parametrize(
    ("looks_s", "tail", "most"),
    [
        pytest.param(0.0, "", 32, id="looking takes long"),
        pytest.param(float("inf"), "", 256, id="addresses"),
        pytest.param(float("inf"), "/32", 64, id="prefixes"),
    ],
)
def test_a_slice_is_bounded_by_time_and_by_what_it_asks_of_the_kernel(looks_s: float, tail: str, most: int) -> None:
    node = Node("one", Server(), Clock(), widest_ipv6=32)
    names = [f"2001:{number:x}::{tail}" if tail else f"2001:db8::{number:x}" for number in range(0xD00, 0xD00 + 600)]
    node.fleet.changed("peer", [_ban(name) for name in names])
    with patch.object(work, "_LOOKS_S", looks_s):
        node.fleet.work.step()
    assert len(node.held("peer")) == most
