"""Destinations that a node used, by its recording, and the short list that they are merged into."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.suggest import destinations
from monitor.audit.suggest.destinations import Destinations, Use, as_yaml, merge
from monitor.audit.suggest.gathering import read_destinations, read_neighbourhood
from monitor.model.addresses import Network, host, parse_address, parse_network
from monitor.model.bans import AllowEntry
from monitor.model.flows import FlowBatch, FlowEstablished, FlowOpened
from monitor.model.networks import NodeNetworks
from monitor.model.protocols import PROTOCOL_UDP
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import Events, Started, Surrounded
from tests.support.flows import flow
from tests.support.recordings import START_S, Clock, writer

_OWN, _POD, _RESOLVER = "192.0.2.1", "10.244.0.7", "192.0.2.53"


def _around(time_s: float = START_S) -> Surrounded:
    entries = [
        AllowEntry(host(parse_address(_OWN)), OWN_ADDRESS),
        AllowEntry(host(parse_address(_RESOLVER)), "resolver"),
    ]
    return Surrounded(time_s, entries, NodeNetworks(behind=(parse_network("10.244.0.0/16"),)))


def _completed(source: str, to: str, **more: Any) -> FlowBatch:
    return FlowBatch(START_S, completed=[flow(FlowEstablished, source, 443, to=to, time_s=START_S, **more)])


def _udp(source: str, to: str, port: int = 443, source_port: int = 40_000) -> FlowBatch:
    one = flow(FlowOpened, source, port, to=to, protocol=PROTOCOL_UDP, source_port=source_port, time_s=START_S)
    return FlowBatch(START_S, opened=[one])


_BATCHES = [
    _completed(_OWN, "198.51.100.1"),
    _completed(_OWN, "198.51.100.1"),
    _completed(_POD, "203.0.113.9"),
    _completed(_OWN, "10.96.0.1", real_to="203.0.113.10"),
    _udp(_OWN, "203.0.113.20"),
    _udp(_OWN, "203.0.113.21", 40_000, 443),  # an answer
    FlowBatch(START_S, opened=[flow(FlowOpened, _OWN, 443, to="203.0.113.30", time_s=START_S)]),  # no handshake
    _completed("198.51.100.7", _OWN),
    _completed("198.51.100.7", "203.0.113.40"),  # of nobody behind this node
    _completed(_OWN, _RESOLVER),
    _completed(_OWN, _POD),
    _completed(_OWN, "127.0.0.1"),
    _udp(_OWN, "224.0.0.251"),
    _udp(_OWN, "fe80::1"),
]
_USED = {"198.51.100.1": 2, "203.0.113.9": 1, "203.0.113.10": 1, "203.0.113.20": 1}


def test_what_this_node_and_its_pods_reached_counts() -> None:
    """Completed connections and datagrams out, after translation; neither to pods nor to what is allowed."""
    found = Destinations()
    found.take_all([_around(), Events(START_S, _BATCHES)])
    assert {address: use.connections for address, use in found.uses.items()} == {
        parse_address(address): count for address, count in _USED.items()
    }


def test_a_recording_becomes_a_file_of_settings(tmp_path: Path) -> None:
    """Written by the daemon's writer, read back, and valid YAML with networks."""
    clock = Clock()
    one = writer(tmp_path, clock)
    one.write([Started(START_S, "node-1", "1.0"), _around(), Events(START_S, _BATCHES)])
    one.close()
    text, lack = read_destinations(tmp_path, START_S - 60)
    assert lack == ""
    assert yaml.safe_load(text)["detectors"]["egress"]["approved"] == sorted(_USED, key=parse_address)
    assert "2 connections" in text


def test_no_recording_is_no_list_and_has_a_reason(tmp_path: Path) -> None:
    """Missing, or without connections."""
    assert read_destinations(tmp_path / "missing", 0.0)[0] == ""
    assert "no recording" in read_destinations(tmp_path / "missing", 0.0)[1]


def test_memory_has_a_bound_and_what_is_left_out_is_said(monkeypatch: Any) -> None:
    """A pod that scans the world would fill it."""
    monkeypatch.setattr(destinations, "MOST_DESTINATIONS", 2)
    found = Destinations()
    found.take_all([_around(), Events(START_S, _BATCHES)])
    assert (len(found.uses), found.left_out) == (2, 2)
    assert "2 connections to further destinations" in as_yaml(found)


_ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.integers(0, 300).map(lambda last: (0xCB007100 + last).to_bytes(4)),
    st.binary(min_size=16, max_size=16),
)


@given(st.sets(_ADDRESSES, max_size=80), st.integers(1, 20))
def test_a_merged_list_has_every_destination_once(addresses: set[bytes], most: int) -> None:
    """Networks are disjoint, counts add up, no prefix is shorter than allowed; the list is as short as that permits."""
    merged = merge({address: Use(connections=1) for address in addresses}, most)
    for address in addresses:
        assert sum(network.contains(address) for network in merged) == 1
    assert sum(use.addresses for use in merged.values()) == len(addresses)
    assert sum(use.connections for use in merged.values()) == len(addresses)
    assert all(network.prefix_length >= (16 if len(network.address) == 4 else 32) for network in merged)
    v4 = [network for network in merged if len(network.address) == 4]
    if len(v4) > most:
        assert len({network.address[:2] for network in v4}) == len(v4)


def test_neighbours_become_a_network_and_strangers_do_not() -> None:
    """Halves are joined at no cost; the rest only as far as the list is too long."""
    uses = {parse_address(f"203.0.113.{last}"): Use() for last in (4, 5, 6, 7, 200)}
    assert list(merge(uses, 64)) == [parse_network("203.0.113.4/30"), parse_network("203.0.113.200")]
    assert list(merge(uses, 1)) == [parse_network("203.0.113.0/24")]
    far = {parse_address(f"{first}.0.0.1"): Use() for first in (11, 100, 200)}
    assert len(merge(far, 1)) == 3


def test_networks_around_the_node_are_read() -> None:
    """Of this machine; never an error."""
    found = read_neighbourhood()
    assert all(isinstance(one, Network) for one in (*found.uplink, *found.inside))
