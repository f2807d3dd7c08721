"""The recorded corpus: real lines of a real kernel through the decoder and both detectors."""

from pathlib import Path

import pytest
from msgspec import structs

from monitor.model.events import PacketLogged
from monitor.model.protocols import PROTOCOL_TCP, TCP_ACK, TCP_FIN, TCP_RST
from tests.support.corpus.attacks import ATTACKS
from tests.support.corpus.everyday import EVERYDAY
from tests.support.corpus.expected import decoded, expected_formats
from tests.support.corpus.formats import FORMATS
from tests.support.corpus.scenario import CORPUS, Scenario
from tests.support.corpus.verdict import MAX_HOSTS, MAX_PORTS, alerts_of, decode, is_enough, material_of

_SCENARIOS = [*ATTACKS, *EVERYDAY]
_MAX_LINES = 400


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def _events(scenario: Scenario) -> list[PacketLogged]:
    return [decode(line) for line in _lines(CORPUS / scenario.folder / f"{scenario.name}.kmsg")]


def _recorded(name: str) -> list[PacketLogged]:
    return _events(next(scenario for scenario in _SCENARIOS if scenario.name == name))


def test_every_recording_has_its_scenario() -> None:
    """Nothing lies in the corpus that no scenario can record again, and no scenario lacks its recording."""
    recorded = {str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.kmsg")}
    assert recorded == {
        *(f"{scenario.folder}/{scenario.name}.kmsg" for scenario in _SCENARIOS),
        *(f"formats/{form.name}.kmsg" for form in FORMATS),
    }


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.name)
def test_verdict(scenario: Scenario) -> None:
    """Each attack raises its alert for the attacker alone, everyday traffic raises none, by default."""
    events = _events(scenario)
    assert len(events) <= _MAX_LINES
    assert is_enough(material_of(events), scenario.material), material_of(events)
    assert alerts_of(events) == scenario.alerts


def _at_once(*scenarios: Scenario) -> list[PacketLogged]:
    """Return the events of several scenarios as if all had begun at the same moment."""
    mixed: list[PacketLogged] = []
    for scenario in scenarios:
        events = _events(scenario)
        mixed += [structs.replace(event, time_s=event.time_s - events[0].time_s) for event in events]
    return sorted(mixed, key=lambda event: event.time_s)


@pytest.mark.parametrize("scenario", ATTACKS, ids=lambda scenario: scenario.name)
def test_attack_seen_among_everyday_traffic(scenario: Scenario) -> None:
    """Everyday traffic around an attack neither hides it nor is taken for a part of it."""
    assert alerts_of(_at_once(scenario, *EVERYDAY)) == scenario.alerts


def test_all_everyday_traffic_at_once_raises_nothing() -> None:
    """A node that has all of it at the same time bans nobody: no threshold is reached by adding up."""
    events = _at_once(*EVERYDAY)
    assert len(events) > 1500
    assert alerts_of(events) == frozenset()


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("busy_server", TCP_ACK | TCP_FIN),
        ("busy_server", TCP_ACK | TCP_RST),
        ("busy_client", TCP_ACK | TCP_FIN),
        ("busy_client", TCP_ACK | TCP_RST),
    ],
)
def test_late_packets_are_there(name: str, flags: int) -> None:
    """The recordings of busy hosts hold both ways in which connections end, over a hundred of each."""
    assert sum(event.protocol == PROTOCOL_TCP and event.tcp_flags == flags for event in _recorded(name)) > 100


@pytest.mark.parametrize(
    "name",
    [
        "busy_client",
        "late_resolver",
        "late_service",
        "traceroute",
        "groups",
        "own_groups",
        "broadcasts",
        "own_broadcasts",
    ],
)
def test_harmless_by_kind_not_by_number(name: str) -> None:
    """These recordings reach more ports than a scan needs: only what the packets are keeps them harmless."""
    assert material_of(_recorded(name)).ports > MAX_PORTS


def test_groups_reach_more_hosts_than_a_sweep_needs() -> None:
    """More groups than a sweep needs hosts; IGMP and MLD, queries and reports, are among the packets."""
    events = _recorded("groups")
    assert material_of(events).hosts > MAX_HOSTS
    igmp, mld_query, mld_report = 2, 130, 143
    assert any(event.protocol == igmp and event.destination == bytes((224, 0, 0, 1)) for event in events)
    assert any(event.protocol == igmp and event.destination == bytes((224, 0, 0, 22)) for event in events)
    assert {mld_query, mld_report} <= {event.icmp_type for event in events}


def test_icmp_errors_quote_many_ports() -> None:
    """The ports that ICMP errors quote are more than a scan needs; they are the node's own doing."""
    quoted = [event.quoted for event in _recorded("icmp_errors")]
    assert len({packet.destination_port for packet in quoted if packet}) > MAX_PORTS


@pytest.mark.parametrize("name", [form.name for form in FORMATS])
def test_format(name: str) -> None:
    """Each way in which the kernel writes a packet is read as the packet that was sent, in every field."""
    assert decoded(_lines(CORPUS / "formats" / f"{name}.kmsg")) == expected_formats()[name]
