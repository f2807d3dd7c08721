"""The XDP program `bpf/xdp_ban.c`, which drops the bans of nftables before the network stack."""

import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from monitor.ebpf.frequent import FrequentSources, sketch_constants, sketch_macros
from monitor.ebpf.links import InterfaceIndexes, attach_xdp, attached_index, detach_xdp
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.macros import numbered, protocol_macros
from monitor.ebpf.maps import Map, PerCpuArray, run_statistics
from monitor.ebpf.messages import XDP, LoadRequest
from monitor.model.addresses import Address, Network, fold_mapped
from monitor.model.bans import MAX_ALLOWED
from monitor.model.errors import TemporaryError

PROGRAM = "xdp_ban"
SETS = ("ban4", "ban6", "ban4_nets", "ban6_nets")
"""The sets of nftables whose elements the program has too, in the order of its counters."""
MAX_SENDERS = 8192
_ALLOWED_ENTRIES = 2 * (MAX_ALLOWED + 64)
"""An allowlist and the one that replaces it, for a moment; the guard adds a few entries that are always allowed."""
_EVENTS = ("lost_senders",)
_MAX_TAGS, _MAX_EXTENSIONS = 2, 6
"""The maximum number of VLAN tags and IPv6 extension headers that are skipped."""
_BANS = tuple(f"xdp_{name}" for name in SETS)
_ALLOWED = ("xdp_allow4", "xdp_allow6")
_MAPS = (*_BANS, *_ALLOWED, "xdp_stops", "xdp_events", "xdp_senders", "xdp_sketch_window")
_BAN, _LENGTH = struct.Struct("=QQQ"), struct.Struct("=I")
_FOREVER_NS = 1 << 62
_YES = b"\1"
_PROTOCOLS = (
    "PROTOCOL_TCP",
    "PROTOCOL_UDP",
    "PROTOCOL_HOPOPTS",
    "PROTOCOL_ROUTING",
    "PROTOCOL_FRAGMENT",
    "PROTOCOL_AH",
    "PROTOCOL_DSTOPTS",
    "TCP_SYN",
    "TCP_ACK",
)


def program_request(max_bans: int, max_prefixes: int, max_allowed: int = _ALLOWED_ENTRIES) -> LoadRequest:
    """Return the request to compile and load the program, with limits on its maps."""
    macros = {
        "MAX_BANS": max_bans,
        "MAX_PREFIXES": max_prefixes,
        "MAX_ALLOWED": max_allowed,
        "MAX_SENDERS": MAX_SENDERS,
        "MAX_TAGS": _MAX_TAGS,
        "MAX_EXTENSIONS": _MAX_EXTENSIONS,
        **numbered("SET", SETS, count="SETS"),
        **numbered("EVENT", _EVENTS, count="EVENTS"),
        **protocol_macros(*_PROTOCOLS),
        **sketch_macros(),
    }
    return LoadRequest("xdp_ban.c", {PROGRAM: XDP}, _MAPS, macros, sketch_constants())


class Sender(msgspec.Struct, frozen=True):
    """What a source has sent since the last poll: SYN packets of TCP, and UDP packets."""

    source: Address
    syn_packets: int
    udp_packets: int


class ProgramUser(Protocol):
    """The user of the loaded program: the enforcer."""

    missing_total: int
    reload: Callable[[], None]

    @property
    def missing(self) -> int:
        """How many bans in force did not fit into the program that is loaded."""

    def take(self, program: "XdpProgram") -> None:
        """Use a program that was just loaded; TemporaryError if it cannot hold the allowlist: then it must not drop."""

    def refill(self) -> None:
        """Try again to add the bans that did not fit."""

    def release(self) -> None:
        """Stop using the program."""


class XdpProgram:
    """The loaded program; it drops on the interfaces it is attached to, in the namespace of the thread that attaches.

    It ends with the process; the sets of nftables keep working without it.
    """

    def __init__(
        self,
        *,
        max_bans: int,
        max_prefixes: int,
        max_allowed: int = _ALLOWED_ENTRIES,
        started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
    ) -> None:
        """Compile and load, in about a second; the limits are those of the maps. Errors as from `load`."""
        self._loaded: LoadedProgram = load(program_request(max_bans, max_prefixes, max_allowed), started=started)
        try:
            self._maps = {name: Map(*self._loaded.maps[name]) for name in _MAPS}
            self._stops, self._events = (PerCpuArray(*self._loaded.maps[name]) for name in ("xdp_stops", "xdp_events"))
            self._senders = FrequentSources(self._maps["xdp_senders"], self._maps["xdp_sketch_window"], counters=2)
            self._indexes = InterfaceIndexes()
            self._links: dict[str, tuple[int, int, str]] = {}
            self._allowed: set[Network] = set()
            self.program = self._loaded.functions[PROGRAM]
        except BaseException:
            self._loaded.close()
            raise

    def close(self) -> None:
        """Detach everywhere and unload."""
        for interface in list(self._links):
            self.detach(interface)
        self._indexes.close()
        self._loaded.close()

    def attach(self, interface: str) -> None:
        """Ensure that the program is attached to the interface of this name, also if it is a new one, or was detached.

        TemporaryError if there is none, or another program is attached to it; PermanentError if it is not possible.
        """
        try:
            index = self._indexes.index_of(interface)
        except OSError:
            self.detach(interface)
            raise TemporaryError(f"there is no interface {interface}") from None
        if interface in self._links:
            descriptor, known_index, _ = self._links[interface]
            if known_index == index == attached_index(descriptor):
                return
            self.detach(interface)
        descriptor, mode = attach_xdp(self.program, interface, index)
        self._links[interface] = descriptor, index, mode

    def detach(self, interface: str) -> None:
        """Detach the program from an interface; an interface without it is not an error."""
        if interface in self._links:
            detach_xdp(self._links.pop(interface)[0])

    @property
    def modes(self) -> dict[str, str]:
        """The attach mode by interface: `native` or `generic`."""
        return {interface: mode for interface, (_, _, mode) in self._links.items()}

    def put(self, bans: Iterable[tuple[Network, float]], now_s: float) -> None:
        """Drop packets of each network until its time (seconds since the epoch); TemporaryError if not all bans fit."""
        clock_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(now_s * 1e9)
        parts: dict[str, list[tuple[bytes, bytes]]] = {}
        for network, until_s in bans:
            name, key = _map_key(network)
            until_ns = min(_FOREVER_NS, max(0, int(until_s * 1e9) + clock_ns))
            counts = self.stopped(network)  # a longer ban keeps its counters
            parts.setdefault(name, []).append((key, _BAN.pack(until_ns, *counts)))
        for name, pairs in parts.items():
            self._maps[name].update(pairs)

    def remove(self, network: Network) -> None:
        """Lift a ban; a network without one is not an error. TemporaryError if it cannot be removed."""
        name, key = _map_key(network)
        del self._maps[name][key]

    def allow(self, networks: Sequence[Network]) -> None:
        """Replace the networks that always pass; new ones are added first. TemporaryError if they do not fit."""
        wanted = set(networks)
        for network in wanted - self._allowed:
            self._maps[_allow_map(network)][_prefix_key(network)] = _YES
            self._allowed.add(network)
        for network in self._allowed - wanted:
            del self._maps[_allow_map(network)][_prefix_key(network)]
            self._allowed.remove(network)

    def held(self) -> dict[Network, float]:
        """Return all bans with their remaining seconds; takes time proportional to their number."""
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return {
            _network(name, key): (_BAN.unpack(value)[0] - now_ns) / 1e9
            for name in _BANS
            for key, value in self._maps[name].items()
        }

    def stopped(self, network: Network) -> tuple[int, int]:
        """Return packets and bytes that the ban of exactly this network has dropped."""
        name, key = _map_key(network)
        value = self._maps[name].get(key)
        if value is None:
            return 0, 0
        _, packets, count_bytes = _BAN.unpack(value)
        return packets, count_bytes

    def totals(self) -> dict[str, tuple[int, int]]:
        """Return packets and bytes that each set has dropped since the start."""
        counts = self._stops.read()
        pairs = (counts.get(number, (0, 0)) for number in range(len(SETS)))
        return {name: (packets, count_bytes) for name, (packets, count_bytes) in zip(SETS, pairs, strict=True)}

    def has_news(self) -> bool:
        """Return whether `poll` may find something; it takes a single look at a map."""
        return self._senders.has_news()

    def watched(self) -> list[tuple[int, bytes]] | None:
        """Return what to look at while nothing happens; None if polls are due."""
        return self._senders.watched()

    def poll(self, now_s: float) -> Iterator[Sender]:
        """Yield what each frequent source has sent since the last poll; `now_s` is any clock in seconds."""
        if self._senders.may_skip(now_s):
            return
        for key, (syn_packets, udp_packets), _ in self._senders.poll(now_s):
            yield Sender(fold_mapped(key), syn_packets, udp_packets)

    @property
    def senders(self) -> int:
        """The number of sources that are counted exactly."""
        return len(self._senders)

    @property
    def sketch_load(self) -> float:
        """The load of the sketch at the last poll."""
        return self._senders.load

    def lost_senders(self) -> int:
        """Return how many packets were not counted exactly because too many sources already were."""
        return self._events.read().get(_EVENTS.index("lost_senders"), (0,))[0]

    def run_statistics(self) -> tuple[int, int]:
        """Return the run time of the program in nanoseconds and the number of runs, while statistics were enabled."""
        return run_statistics(self.program)


def _map_key(network: Network) -> tuple[str, bytes]:
    """Return the map for this network, and its key in the map."""
    family = "4" if len(network.address) == 4 else "6"
    if network.is_host:
        return f"xdp_ban{family}", network.address
    return f"xdp_ban{family}_nets", _prefix_key(network)


def _prefix_key(network: Network) -> bytes:
    return _LENGTH.pack(network.prefix_length) + network.address


def _network(name: str, key: bytes) -> Network:
    if name.endswith("_nets"):
        return Network(key[_LENGTH.size :], _LENGTH.unpack_from(key)[0])
    return Network(key, len(key) * 8)


def _allow_map(network: Network) -> str:
    return f"xdp_allow{'4' if len(network.address) == 4 else '6'}"
