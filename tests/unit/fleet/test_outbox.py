"""What waits to be published: names only, bounded, read from the ledger when it is sent."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.fleet.engine import Change, Kind
from monitor.fleet.fields import field_of, read_field, read_network, show_network
from monitor.fleet.outbox import FleetOutbox
from monitor.fleet.records import decode_ban
from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import ban_key
from monitor.model.ports import at, pack
from tests.support.fleet_nodes import NOW_S, Clock, Node, Server

A, B = "198.51.100.1", "198.51.100.2"


def _node(ahead_s: float = 0.0) -> Node:
    node = Node("one", Server(), Clock(), ahead_s=ahead_s)
    node.fleet.connected(-ahead_s)
    return node


def _kinds(changes: list[Change]) -> list[tuple[str, Kind]]:
    return [(change.field.decode(), change.kind) for change in changes]


def test_many_changes_of_a_ban_are_one() -> None:
    node = _node(ahead_s=3600.0)
    for seconds in (600.0, 1200.0, 1800.0):
        node.ban(A, bantime_s=seconds)
    node.ban(A, bantime_s=900.0, name="port_scan")
    (change,) = node.fleet.outbox.take(10)
    record = decode_ban(change.record)
    assert round(record.until_s - NOW_S) == 1800
    assert change.until_s == record.until_s
    assert record.detector == "sshd"
    assert node.fleet.outbox.take(10) == []


def test_a_ban_that_came_and_went_is_its_end() -> None:
    node = _node()
    node.ban(A)
    node.unban(A)
    (change,) = node.fleet.outbox.take(10)
    assert change == Change(Kind.UNBAN, b"ban 198.51.100.1")


def test_what_another_detector_still_claims_goes_on() -> None:
    node = _node()
    node.ban(A, bantime_s=600.0)
    node.ban(A, bantime_s=3600.0, name="port_scan")
    node.fleet.outbox.take(10)
    node.clock.now_s += 601.0
    node.tick()
    assert node.fleet.outbox.take(10) == []  # peers know the later end
    node.clock.now_s += 3000.0
    node.tick()
    (change,) = node.fleet.outbox.take(10)
    assert (change.kind, round(change.until_s - NOW_S)) == (Kind.UNBAN, 3600)


def test_what_could_not_be_written_comes_again_unless_it_is_outdated() -> None:
    node = _node()
    node.ban(A)
    node.ban(B)
    taken = node.fleet.outbox.take(10)
    assert node.fleet.outbox.published_total == 2
    node.unban(A)
    node.fleet.outbox.put_back(taken)
    assert _kinds(list(node.fleet.outbox.take(10))) == [(f"ban {B}", Kind.BAN), (f"ban {A}", Kind.UNBAN)]
    assert (node.fleet.outbox.published_total, node.fleet.outbox.withdrawn_total) == (1, 1)


def test_pardons_are_taken_put_back_and_part_of_the_whole() -> None:
    node = _node()
    node.fleet.pardon([parse_network(A)], NOW_S + 600.0, "a mistake", NOW_S)
    taken = node.fleet.outbox.take(10)
    node.fleet.outbox.put_back(taken)
    assert _kinds(list(node.fleet.outbox.take(10))) == [(A, Kind.PARDON)]
    assert _kinds(list(node.fleet.outbox.whole())) == [(A, Kind.PARDON)]


def test_too_many_waiting_changes_are_dropped_and_all_is_written_anew() -> None:
    node = _node()
    fleet = node.fleet
    outbox = FleetOutbox(
        node.pipeline.ledger, fleet.settings, fleet.clock, fleet.pardons, bytes, node.now, node.clock, max_waiting=3
    )
    node.ban(A)
    for number in range(5):
        outbox.note(ban_key(network_of(bytes((198, 51, 100, number)), 32), Strength.PROVEN))
    assert outbox.is_overrun
    assert len(outbox) <= 3
    assert [decode_ban(change.record).net for change in outbox.whole()] == [A]
    assert not outbox.is_overrun


def test_the_ledger_may_change_while_all_is_written() -> None:
    node = _node()
    for number in range(20):
        node.ban(f"198.51.100.{number}")
    found = []
    for number, change in enumerate(node.fleet.outbox.whole()):
        found.append(change.field)
        node.unban(f"198.51.100.{19 - number}")
        node.ban(f"203.0.113.{number}")
    assert len(found) == 10


def test_the_longest_records_fit() -> None:
    node = _node()
    ports = pack((6, 65_000 + number) for number in range(64))
    node.ban("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", ports=ports, name="\u00e4" * 100, reason="\u4e00" * 200)
    (change,) = node.fleet.outbox.take(1)
    record = decode_ban(change.record)
    assert (record.detector, record.reason) == ("\u00e4" * 32, "\u4e00" * 42)
    assert read_field(change.field)[0].ports == ports


_NETWORK = st.builds(
    lambda address, length, ports: at(network_of(address, length), ports),
    st.binary(min_size=4, max_size=4),
    st.just(32),
    st.just(b"") | st.just(pack([(6, 22), (17, 53)])),
) | st.builds(network_of, st.binary(min_size=16, max_size=16).filter(lambda one: any(one[:10])), st.integers(1, 128))


@settings(max_examples=60, deadline=None)
@given(_NETWORK, st.sampled_from((Strength.PROVEN, Strength.SPOOFABLE)))
def test_a_field_is_read_as_it_was_written(network: Network, strength: Strength) -> None:
    assert read_field(field_of(network, strength)) == (network, strength)
    assert read_network(show_network(network)) == network


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_field_raises_anything_else(field: bytes) -> None:
    for prefix in (b"", b"ban ", b"shun 192.0.2.1 ", b"ban 192.0.2.1 tcp/"):
        try:
            network, strength = read_field(prefix + field)
        except ValueError:
            continue
        assert field_of(network, strength) == prefix + field
