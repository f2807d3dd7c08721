"""Who is known-good: labels, the allowlist, internal networks, and clients of long standing."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from monitor.bans.guard import Guard
from monitor.daemon.tuning.client_history import ClientHistory
from monitor.daemon.tuning.known_good import KnownGood, Mark, Witness, good_reason
from monitor.daemon.tuning.labels import Label, Labels, Opinion
from monitor.model.addresses import Network, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry
from monitor.model.flows import FlowBatch
from monitor.model.networks import Networks, NodeNetworks
from monitor.recording.inputs import Configured, Events, Flood, Input, Order, Ordered, Restored, Surrounded
from monitor.settings.schema import Settings
from tests.support.events import failure, tcp
from tests.support.flows import handshakes, incomplete

HOUR_S = 3600.0
CLIENT, OTHER = "198.51.100.7", "198.51.100.8"


def came(clients: ClientHistory, hour: int, count: int = 1, source: str = CLIENT, events: Sequence[Any] = ()) -> None:
    """Have a source complete handshakes in an hour, and other events happen."""
    time_s = hour * HOUR_S + 10.0
    clients.take([FlowBatch(time_s, completed=handshakes(count, source))], time_s)
    for event in events:
        clients.take([event], time_s + 1.0)


def is_client(clients: ClientHistory, hour: int | None = None, network: str = CLIENT) -> bool:
    """Ask about the middle of an hour, or about any time."""
    clients.finish()
    return clients.is_client(parse_network(network), None if hour is None else hour * HOUR_S + 1800.0)


def test_a_client_came_before_and_after() -> None:
    """Handshakes in the hour of the ban itself prove nothing, and neither do those of one side."""
    clients = ClientHistory()
    for hour in (10, 12):
        came(clients, hour)
    assert [is_client(clients, hour) for hour in (9, 10, 11, 12, 13)] == [False, False, True, False, False]
    assert not is_client(clients, 11, OTHER)
    assert is_client(clients, 11, "198.51.100.0/24")
    assert not is_client(clients, 11, "198.51.101.0/24")


def test_a_client_of_long_standing_has_hours_on_two_days() -> None:
    """Without a time: at least three hours, the first and last a day apart."""
    clients = ClientHistory()
    came(clients, 10)
    came(clients, 20)
    assert not is_client(clients)
    came(clients, 34)
    assert is_client(clients)


@pytest.mark.parametrize(
    "evidence",
    [failure(CLIENT), tcp(CLIENT, 23), FlowBatch(0.0, incomplete=[incomplete(CLIENT, 23)])],
    ids=["password", "logged packet", "incomplete attempt"],
)
def test_attackers_who_complete_handshakes_are_no_clients(evidence: Any) -> None:
    """Who guesses passwords or scans completes handshakes, too, in every hour, and has evidence against it in each."""
    clients = ClientHistory()
    for hour in range(60):
        came(clients, hour, 3, events=[evidence])
    assert not is_client(clients)
    assert not is_client(clients, 30)


def test_a_guesser_that_looks_at_an_open_port_now_and_then_is_no_client() -> None:
    """A few handshakes in clean hours do not make up for what was proven in others; a forger proves nothing."""
    for strength, is_known in ((Strength.PROVEN, False), (Strength.SPOOFABLE, True)):
        clients = ClientHistory()
        for hour in (10, 20, 34):
            came(clients, hour)
        came(clients, 22, 50, events=[msgspec.structs.replace(failure(CLIENT), strength=strength)] * 50)
        came(clients, 46)
        assert is_client(clients) is is_known
        assert is_client(clients, 22) is is_known
        came(clients, 48, 60)
        assert is_client(clients, 22)


def test_a_client_that_mistypes_a_password_stays_one() -> None:
    """One bad hour among good ones, and a few lost packets in a good one."""
    clients = ClientHistory()
    for hour in range(0, 60, 5):
        came(clients, hour, 20, events=[tcp(CLIENT, 443)] + [failure(CLIENT)] * (5 if hour == 30 else 0))
    assert is_client(clients)
    assert is_client(clients, 30)


def test_the_addresses_of_an_ipv6_prefix_are_one_client() -> None:
    """Privacy extensions change the address within a /64."""
    clients = ClientHistory()
    came(clients, 1, source="2001:db8::1")
    came(clients, 3, source="2001:db8::2")
    assert is_client(clients, 2, "2001:db8::3")
    assert is_client(clients, 2, "2001:db8::/48")
    assert not is_client(clients, 2, "2001:db8:0:1::3")


def test_memory_is_bounded_and_a_full_table_says_so() -> None:
    """A /24 takes its share only, and so do all together; who was left out is counted."""
    clients = ClientHistory(max_sources=64)
    for hour in range(0, 6, 2):
        time_s = hour * HOUR_S
        everyone = [handshakes(1, f"10.{net}.{net}.{last}")[0] for net in range(20) for last in range(1, 20)]
        clients.take([FlowBatch(time_s, completed=everyone)], time_s)
        clients.take([tcp(f"203.0.113.{last}", 23) for last in range(200)], time_s)
    clients.finish()
    assert len(clients) <= 64
    assert clients.refused_total > 0
    assert sum(clients.is_client(parse_network(f"10.0.0.{last}"), HOUR_S * 3) for last in range(1, 20)) == 8


def test_sources_that_came_once_make_room() -> None:
    """A web server sees more visitors in a week than fit; those that come again are kept."""
    clients = ClientHistory(max_sources=64)
    for hour in range(0, 400, 4):
        came(clients, hour, source=CLIENT)
        came(clients, hour, source=f"10.{hour}.1.1" if hour < 256 else f"11.{hour - 256}.1.1")
    came(clients, 400, source=OTHER)
    came(clients, 430, source=OTHER)
    assert is_client(clients)
    assert is_client(clients, 415, OTHER)


class _Nobody:
    def is_client(self, network: Network, at_s: float | None = None) -> bool:
        """Nobody is."""
        return False


def test_marks_and_the_one_reason() -> None:
    """All marks are said; a bad label outweighs the others."""
    labels = Labels(
        Label(parse_network(text), opinion, "", 0.0)
        for text, opinion in (("10.0.0.0/8", Opinion.BAD), ("10.1.0.0/16", Opinion.GOOD))
    )
    guard = Guard([AllowEntry(parse_network("10.1.2.3"), "test")])
    known = KnownGood(labels, guard, Networks([parse_network("10.0.0.0/8")]), _Nobody())
    assert known.marks(parse_network("10.9.9.9")) == (Mark.BAD, Mark.INTERNAL)
    assert known.marks(parse_network("10.1.2.3")) == (Mark.GOOD, Mark.ALLOWLISTED, Mark.INTERNAL)
    assert known.marks(parse_network("192.0.2.1")) == ()
    assert [known.is_good(parse_address(text)) for text in ("10.9.9.9", "10.1.2.4", "192.0.2.1")] == ["", "good", ""]
    assert known.is_bad(parse_address("10.9.9.9"))
    assert good_reason((Mark.CLIENT, Mark.BAD)) == ""


def _inputs() -> Iterator[Input]:
    gateway, by_command, gone, ignored = (AllowEntry(parse_network(f"192.0.2.{last}"), "test") for last in range(1, 5))
    yield Configured(0.0, {}, "", {}, [ignored])
    yield Surrounded(0.0, [gateway], NodeNetworks(connected=(parse_network("172.16.0.0/16"),)))
    yield Restored(0.0, allowed=[gone])
    yield Ordered(1.0, Order.ALLOW, entries=[by_command])
    yield Ordered(2.0, Order.DISALLOW, networks=[gone.network])
    for hour in (1, 3):
        yield Events(hour * HOUR_S, [FlowBatch(hour * HOUR_S, completed=handshakes(5, CLIENT))])
        yield Events(hour * HOUR_S, [FlowBatch(hour * HOUR_S, completed=handshakes(5, OTHER))])
        yield Flood(hour * HOUR_S, "packet_logged", [(parse_address(OTHER), 100)])


def test_a_witness_learns_from_the_inputs() -> None:
    """It yields what it gets, and knows allowlist, internal networks and clients afterwards."""
    witness = Witness(Labels())
    assert list(witness.watch(_inputs())) == list(_inputs())
    known = witness.known_good(Settings())
    marks = {text: known.marks(parse_network(text), 2 * HOUR_S) for text in (CLIENT, OTHER, "172.16.9.9")}
    assert marks == {CLIENT: (Mark.CLIENT,), OTHER: (), "172.16.9.9": (Mark.INTERNAL,)}
    allowed = [bool(known.marks(parse_network(f"192.0.2.{last}"))) for last in range(1, 6)]
    assert allowed == [True, True, False, True, False]
