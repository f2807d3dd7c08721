"""Drop counters: what `bpf/drops.c` counts, read without blocking."""

import os
import secrets
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from monitor.ebpf.frequent import FrequentSources, sketch_constants, sketch_macros
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.macros import numbered, protocol_macros
from monitor.ebpf.maps import Map, PerCpuArray, attach_raw_tracepoint, run_statistics
from monitor.ebpf.messages import RAW_TRACEPOINT, TRACING_MODE, LoadRequest
from monitor.ebpf.reasons import UNNAMED, Fate, ReasonClass, class_of, fate, is_of_packets
from monitor.model.addresses import Network, fold_mapped
from monitor.model.protocols import TRACEROUTE_PORTS, WELL_KNOWN_PORTS
from monitor.sources.drops.counter_index import BY_ALL
from monitor.sources.drops.kinds import DIRECTIONS, FAMILIES, DropKind, Dropped, DropStats, DropTotals
from monitor.sources.drops.settings import DropCounting

_PROGRAM = "kfree_skb"  # of the function, and of the tracepoint
_MAPS = (
    "drops",
    "drop_events",
    "reason_classes",
    "drop_sketch_window",
    "drop_offenders",
    "drop_probers",
    "overlay_peers",
    "reason_slots",
    "unknown_reasons",
)
_NAMESPACES = "drop_namespaces"
_PROTOCOLS = (
    *("PROTOCOL_IPIP", "PROTOCOL_IPV6", "PROTOCOL_UDP", "PROTOCOL_GRE", "PROTOCOL_TCP"),
    *("TCP_FIN", "TCP_SYN", "TCP_RST", "TCP_ACK"),
)
_NETNS = Path("/proc/thread-self/ns/net")
_NUMBER = struct.Struct("=I")
_CLASSES: Final = 1 << (len(ReasonClass) - 1).bit_length()
"""Counters of an offender: a power of two, so that a mask bounds the index for the verifier."""
_EVENTS = ("lost_offenders", "lost_probes", "no_device")
_MAX_UNKNOWN_REASONS = 64
_PROBE_REASONS = frozenset(("NO_SOCKET", "NETFILTER_DROP"))
"""For these reasons a scan's packets are dropped: nothing listens, or a firewall refuses."""
_PROBE_REASON = _CLASSES
"""The bit of these reasons in their class."""
_TEARDOWN_REASON, _PACKET_REASON, _UNNAMED_REASON = 2 * _CLASSES, 4 * _CLASSES, 8 * _CLASSES
"""The bits of reasons of socket teardown, of those that only packets have, and of those that say nothing."""
_SEEN_REASON = 16 * _CLASSES
"""The bit that the program sets when it counts for a reason: only its counters need be read."""
_MAX_NAMESPACES = 1024
_PROBE_STEP_PACKETS = 2048
"""A source's probes are noted if it sends at least one in so many packets of infrequent sources."""
_PORT_SEED = secrets.randbits(63)
"""Of the process, not of a program: detectors combine bitmaps of programs that follow each other."""
_PROBER, _PEER = struct.Struct("=QQ"), struct.Struct("=I16s")
_COUNTS = struct.Struct(f"={_CLASSES}Q")
_NO_PACKETS = (0,) * len(ReasonClass)
_MAPPED = bytes(10) + b"\xff\xff"


def program_request(own_netns: int, counting: DropCounting) -> LoadRequest:
    """Return what to compile: counting for this network namespace, by the number of its inode."""
    macros = {
        "ALL_NETNS": int(counting.section.all_namespaces),
        "CLASSES": _CLASSES,
        "PROBE_REASON": _PROBE_REASON,
        "TEARDOWN_REASON": _TEARDOWN_REASON,
        "PACKET_REASON": _PACKET_REASON,
        "UNNAMED_REASON": _UNNAMED_REASON,
        "SEEN_REASON": _SEEN_REASON,
        "MAX_NAMESPACES": _MAX_NAMESPACES if counting.section.pods else 0,
        "PROBE_STEP_PACKETS": _PROBE_STEP_PACKETS,
        "FIRST_CLIENT_PORT": counting.client_ports.first,
        "LAST_CLIENT_PORT": counting.client_ports.last,
        "FIRST_TRACEROUTE_PORT": TRACEROUTE_PORTS.start,
        "LAST_TRACEROUTE_PORT": TRACEROUTE_PORTS.stop - 1,
        "WELL_KNOWN_PORTS": WELL_KNOWN_PORTS.stop,
        "MAX_OFFENDERS": DropCounters.MAX_OFFENDERS,
        "MAX_PROBERS": DropCounters.MAX_PROBERS,
        "MAX_OVERLAY_PEERS": max(1, len(counting.overlay_peers)),
        "MAX_UNKNOWN_REASONS": _MAX_UNKNOWN_REASONS,
        **BY_ALL.macros,
        **numbered("DIRECTION", DIRECTIONS, count="DIRECTIONS"),
        **numbered("EVENT", _EVENTS, count="EVENTS"),
        **protocol_macros(*_PROTOCOLS),
        **sketch_macros(),
    }
    maps = (*_MAPS, _NAMESPACES) if counting.section.pods else _MAPS
    constants = {"OWN_NETNS": own_netns, "PORT_SEED": _PORT_SEED, **sketch_constants()}
    kinds = {_PROGRAM: RAW_TRACEPOINT}
    return LoadRequest("drops.c", kinds, maps, macros, constants, tracepoint=_PROGRAM, needs_layout=True)


class DropCounters:
    """The program, attached; opened in the network namespace whose drops are its own."""

    MAX_OFFENDERS, MAX_PROBERS = 8192, 4096

    def __init__(
        self, counting: DropCounting, *, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
    ) -> None:
        """Compile, load and attach, in about a second; errors as `load` has them."""
        request = program_request(_NETNS.stat().st_ino, counting)
        self._loaded: LoadedProgram = load(request, started=started)
        try:
            self.reasons = self._loaded.reasons
            self.stats = DropStats()
            self._maps = {name: Map(*self._loaded.maps[name]) for name in self._loaded.maps}
            self._drops, self._events = (PerCpuArray(*self._loaded.maps[name]) for name in ("drops", "drop_events"))
            maps = self._maps["drop_offenders"], self._maps["drop_sketch_window"]
            self._frequent = FrequentSources(*maps, counters=_CLASSES + 1)
            self._describe_reasons()
            self._maps["overlay_peers"].update((_peer_key(network), b"\1") for network in counting.overlay_peers)
            self.attach_mode, self.fallback_reason = self._loaded.attach_mode, self._loaded.fallback_reason
            name = None if self.attach_mode == TRACING_MODE else _PROGRAM
            self._attachment = attach_raw_tracepoint(self._loaded.functions[_PROGRAM], name)
        except BaseException:
            self._loaded.close()
            raise

    def close(self) -> None:
        """Detach and unload."""
        os.close(self._attachment)
        self._loaded.close()

    def totals(self) -> DropTotals:
        """Return packets and bytes since the start."""
        totals = DropTotals()
        classes = self._maps["reason_classes"].items()
        seen = (_NUMBER.unpack(key)[0] for key, value in classes if _NUMBER.unpack(value)[0] & _SEEN_REASON)
        for index, (packets, count_bytes) in self._drops.read(map(BY_ALL.span, seen)).items():
            slot, family, direction, is_tunnelled, is_foreign = BY_ALL.split(index)
            kind = DropKind(
                self.reasons.names[slot],
                FAMILIES[family],
                DIRECTIONS[direction],
                bool(is_tunnelled),
                bool(is_foreign),
            )
            totals.add(kind, packets, count_bytes)
        return totals

    def run_statistics(self) -> tuple[int, int]:
        """Return the nanoseconds the program ran and how often, while the kernel kept count."""
        return run_statistics(self._loaded.functions[_PROGRAM])

    def unknown(self) -> dict[int, int]:
        """Return how often reasons came that the kernel's types do not name, by number: a bounded number of them."""
        return {
            _NUMBER.unpack(key)[0]: struct.unpack("=Q", value)[0]
            for key, value in self._maps["unknown_reasons"].items()
        }

    def namespaces(self) -> dict[int, tuple[int, ...]]:
        """Return packets by class of other network namespaces, by inode number; a forgotten one starts at zero."""
        if (counted := self._maps.get(_NAMESPACES)) is None:
            return {}
        return {_NUMBER.unpack(key)[0]: _COUNTS.unpack(value)[: len(ReasonClass)] for key, value in counted.items()}

    def has_news(self) -> bool:
        """Return whether `poll` may find something; it takes a single look at a map."""
        return self._frequent.has_news()

    def watched(self) -> list[tuple[int, bytes]] | None:
        """Return what to look at while nothing happens; None if polls are due."""
        return self._frequent.watched()

    def poll(self, now_s: float) -> Iterator[Dropped]:
        """Yield what each source that drops often lost since the last poll, and which ports sources probed.

        `now_s` is any clock in seconds.
        """
        if self._frequent.may_skip(now_s):
            return
        probers = {key: _PROBER.unpack(value) for key, value in self._maps["drop_probers"].take()}
        self.stats.probers = len(probers)
        for key, counts, outer in self._frequent.poll(now_s):
            by_class, tunnelled = counts[: len(ReasonClass)], counts[_CLASSES]
            peer = fold_mapped(outer) if any(outer) else None
            yield Dropped(fold_mapped(key), by_class, peer, tunnelled, *probers.pop(key, (0, 0)))
        for key, bitmaps in probers.items():
            yield Dropped(fold_mapped(key), _NO_PACKETS, None, 0, *bitmaps)
        events = {_EVENTS[number]: count for number, (count,) in self._events.read().items()}
        self.stats.lost_offenders = events.get("lost_offenders", 0)
        self.stats.lost_probes = events.get("lost_probes", 0)
        self.stats.no_device = events.get("no_device", 0)
        self.stats.offenders, self.stats.sketch_load = len(self._frequent), self._frequent.load

    def _describe_reasons(self) -> None:
        """Tell the program what reasons mean and where those of subsystems are counted."""
        order = list(ReasonClass)
        for slot, name in enumerate(self.reasons.names):
            number = order.index(class_of(name)) | (_PROBE_REASON if name in _PROBE_REASONS else 0)
            number |= _TEARDOWN_REASON if fate(name, has_protocol=True) is Fate.TEARDOWN else 0
            number |= _PACKET_REASON if is_of_packets(name) else 0
            number |= _UNNAMED_REASON if name in UNNAMED else 0
            self._maps["reason_classes"][_NUMBER.pack(slot)] = _NUMBER.pack(number)
        for number, slot in self.reasons.subsystems.items():
            self._maps["reason_slots"][_NUMBER.pack(number)] = _NUMBER.pack(slot)


def _peer_key(network: Network) -> bytes:
    """Return the key in the map of overlay peers, in which IPv4 is mapped into IPv6."""
    if len(network.address) == 4:
        return _PEER.pack(96 + network.prefix_length, _MAPPED + network.address)
    return _PEER.pack(network.prefix_length, network.address)
