"""The fleet on paper: pauses and slices keep the load of the server in proportion to the nodes."""

import pytest

from bench.fleet.model import Fleet, eager, paced
from bench.fleet.readers import command, reply_end
from bench.fleet.units import Units

UNIT = Units(
    publish_us=75.0,
    wake_us=46.0,
    follow_us=33.0,
    poll_us=34.0,
    entry_us=3.2,
    idle_stream_us=0.4,
    hello_us=46.0,
    peer_hello_us=2.5,
    mark_us=1.9,
    scan_us=6.0,
    record_us=3.0,
    connection_bytes=38_500.0,
    record_bytes=138.0,
    entry_bytes=93.0,
    node_bytes=5260.0,
    wake_wire_bytes=521.0,
    entry_wire_bytes=244.0,
)
"""As measured once; docs/decisions/0128."""


def test_one_thread_of_the_server_carries_10_000_nodes_only_if_they_pause() -> None:
    """What the decision claims: eager nodes need twenty cores, pausing ones less than one."""
    fleet = Fleet(10_000, 10.0)
    assert eager(fleet, UNIT).cores > 10
    assert paced(fleet, UNIT).cores < 1


@pytest.mark.parametrize("nodes", [10, 100, 1000, 10_000])
def test_wake_ups_are_bounded_whatever_is_banned(nodes: int) -> None:
    """Ten times as many bans make answers longer, not more."""
    quiet, busy = paced(Fleet(nodes, 1000.0), UNIT), paced(Fleet(nodes, 10_000.0), UNIT)
    assert quiet.wakes_per_s == busy.wakes_per_s <= 4000
    assert busy.cores < 11 * quiet.cores


def test_the_load_of_slices_grows_with_the_nodes_and_not_with_their_square() -> None:
    """Ten times the nodes: at most ten times the work, where eager nodes make a hundred times of it."""
    ours, theirs = [[way(Fleet(nodes, 0.0001), UNIT).cores for nodes in (1000, 10_000)] for way in (paced, eager)]
    assert ours[1] < 11 * ours[0]
    assert theirs[1] > 50 * theirs[0]


def test_replies_of_the_server_are_recognized_when_they_are_complete() -> None:
    """The light readers count replies: one too many or too few would spoil the unit costs."""
    reply = command("XREAD", "COUNT", 1, b"") + b"*-1\r\n$-1\r\n:12\r\n+OK\r\n"
    ends, at = [], 0
    while (end := reply_end(reply, at)) is not None:
        ends.append(reply[at:end])
        at = end
    assert ends == [command("XREAD", "COUNT", 1, b""), b"*-1\r\n", b"$-1\r\n", b":12\r\n", b"+OK\r\n"]
    assert all(reply_end(command("GET", "a-key")[:length]) is None for length in range(len(command("GET", "a-key"))))
