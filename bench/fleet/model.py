"""A fleet on paper: what N nodes cost their server, from the unit costs of a real one. Pure.

Two ways to follow changes are compared. *Eager*: each node reads whenever the bell rings, polls every stream each
minute as a safety net and every hello each 20 s. *Paced*: after a read a node pauses for a time in proportion to the
number of nodes, looks at marks and hellos in slices, and reads the streams of several peers at once.
"""

import math

import msgspec

from bench.fleet.units import Units

PAUSE_PER_NODE_S = 0.00025
LONGEST_PAUSE_S = 5.0
SLICE = 100
_SLICE_S, _SLICE_PER_NODE_S = 6.0, 0.002
_HELLO_S = 20.0
_STREAMS_AT_ONCE = 32
_BLOCK_S = 5.0
_NET_S = 60.0
_CONNECTIONS = 2
_STREAM_AGE_S = 3600.0
_STREAM_ENTRIES = 10_000
_LINES = 2000


class Fleet(msgspec.Struct, frozen=True):
    """How many nodes there are, and how much they ban together."""

    nodes: int
    bans_per_s: float
    ban_s: float = 3600.0
    """Mean time that a ban lasts."""

    @property
    def live(self) -> float:
        """Bans in force at a time."""
        return self.bans_per_s * self.ban_s


class Load(msgspec.Struct, frozen=True):
    """What the server has to do."""

    wakes_per_s: float
    """Answers to waiting readers."""
    wire_mbit_per_s: float
    cores: float
    """CPU time a second; a server has one thread, so that 1 is the end."""
    memory_mb: float
    late_s: float
    """How long after the ban the last node reads it, without the server's queue: the fan-out and the pause."""
    return_s: float
    """CPU time until all nodes are up to date again after the server lost everything."""


def eager(fleet: Fleet, unit: Units) -> Load:
    """Return the load if every ring wakes every node, and everything is polled at once."""
    nodes = fleet.nodes
    wakes = nodes * fleet.bans_per_s
    read_us = unit.wake_us + unit.follow_us
    polls_us = nodes * nodes * (unit.idle_stream_us / _NET_S + unit.peer_hello_us / _HELLO_S)
    wire = wakes * unit.wake_wire_bytes + nodes * nodes / _HELLO_S * 300
    return Load(
        wakes,
        wire * 8 / 1e6,
        (wakes * read_us + polls_us + _written_us(fleet, unit)) / 1e6,
        _memory_mb(fleet, unit, nodes * _STREAM_ENTRIES),
        nodes * read_us / 1e6,
        (_rewritten_us(fleet, unit) + nodes * (nodes * unit.scan_us + fleet.live * unit.record_us)) / 1e6,
    )


def paced(fleet: Fleet, unit: Units) -> Load:
    """Return the load with pauses and slices, and with nodes that know what they have already."""
    nodes = fleet.nodes
    pause_s = min(LONGEST_PAUSE_S, nodes * PAUSE_PER_NODE_S)
    rounds = min(fleet.bans_per_s, 1 / pause_s)
    entries = nodes * fleet.bans_per_s
    slice_of = min(nodes, SLICE)
    slice_s = max(_SLICE_S, nodes * _SLICE_PER_NODE_S)
    hellos = min(slice_of / slice_s, nodes / _HELLO_S)
    polls_us = nodes * ((unit.poll_us + slice_of * unit.mark_us) / slice_s + hellos * unit.peer_hello_us)
    polls_us += nodes / _BLOCK_S * unit.poll_us
    reads = math.ceil(min(nodes, fleet.bans_per_s / rounds) / _STREAMS_AT_ONCE)
    read_us = nodes * rounds * (unit.wake_us + reads * unit.follow_us) + (entries - nodes * rounds) * unit.entry_us
    wire = nodes * rounds * unit.wake_wire_bytes + (entries - nodes * rounds) * unit.entry_wire_bytes
    wire += nodes * (hellos * 300 + slice_of / slice_s * 100)
    return Load(
        nodes * rounds,
        wire * 8 / 1e6,
        (read_us + polls_us + _written_us(fleet, unit)) / 1e6,
        _memory_mb(fleet, unit, min(nodes * _LINES, fleet.bans_per_s * _STREAM_AGE_S)),
        nodes * (unit.wake_us + unit.follow_us) / 1e6 + pause_s,
        (_rewritten_us(fleet, unit) + nodes * nodes * unit.entry_us) / 1e6,
    )


def _written_us(fleet: Fleet, unit: Units) -> float:
    return fleet.bans_per_s * unit.publish_us + fleet.nodes / _HELLO_S * unit.hello_us


def _rewritten_us(fleet: Fleet, unit: Units) -> float:
    """Return the CPU time of taking everything again from its owners: in slices, as records are read."""
    return fleet.nodes * (unit.publish_us + unit.hello_us) + fleet.live * unit.record_us


def _memory_mb(fleet: Fleet, unit: Units, entries: float) -> float:
    per_node = unit.node_bytes + _CONNECTIONS * unit.connection_bytes
    return (fleet.nodes * per_node + fleet.live * unit.record_bytes + entries * unit.entry_bytes) / 1e6
