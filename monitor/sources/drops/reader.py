"""Drop counters: what `bpf/drops.c` counts, read without blocking."""

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from monitor.ebpf.frequent import FrequentSources, sketch_macros
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.macros import numbered, protocol_macros
from monitor.ebpf.maps import Map, PerCpuArray, attach_raw_tracepoint, run_statistics
from monitor.ebpf.messages import RAW_TRACEPOINT, TRACING_MODE, LoadRequest
from monitor.ebpf.reasons import ReasonClass, class_of
from monitor.model.addresses import fold_mapped
from monitor.sources.drops.counter_index import BY_ALL
from monitor.sources.drops.kinds import DIRECTIONS, FAMILIES, DropKind, Dropped, DropStats

_PROGRAM = "kfree_skb"  # of the function, and of the tracepoint
_MAPS = (
    "drops",
    "drop_events",
    "reason_classes",
    "drop_sketch_window",
    "drop_offenders",
    "reason_slots",
    "unknown_reasons",
)
_NETNS = Path("/proc/thread-self/ns/net")
_NUMBER = struct.Struct("=I")
_CLASSES: Final = 1 << (len(ReasonClass) - 1).bit_length()
"""Counters of an offender: a power of two, so that a mask bounds the index for the verifier."""
_EVENTS = ("lost_offenders", "no_device")
_MAX_UNKNOWN_REASONS = 64


def program_request(own_netns: int, *, all_namespaces: bool) -> LoadRequest:
    """Return what to compile: counting for this network namespace, by the number of its inode."""
    macros = {
        "OWN_NETNS": own_netns,
        "ALL_NETNS": int(all_namespaces),
        "CLASSES": _CLASSES,
        "MAX_OFFENDERS": DropCounters.MAX_OFFENDERS,
        "MAX_UNKNOWN_REASONS": _MAX_UNKNOWN_REASONS,
        **BY_ALL.macros,
        **numbered("DIRECTION", DIRECTIONS, count="DIRECTIONS"),
        **numbered("EVENT", _EVENTS, count="EVENTS"),
        **protocol_macros("PROTOCOL_IPIP", "PROTOCOL_IPV6", "PROTOCOL_UDP", "PROTOCOL_GRE"),
        **sketch_macros(),
    }
    return LoadRequest("drops.c", {_PROGRAM: RAW_TRACEPOINT}, _MAPS, macros, tracepoint=_PROGRAM, needs_layout=True)


class DropCounters:
    """The program, attached; opened in the network namespace whose drops are its own."""

    MAX_OFFENDERS = 8192

    def __init__(
        self, *, all_namespaces: bool, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
    ) -> None:
        """Compile, load and attach, in about a second; errors as `load` has them."""
        request = program_request(_NETNS.stat().st_ino, all_namespaces=all_namespaces)
        self._loaded: LoadedProgram = load(request, started=started)
        try:
            self.reasons = self._loaded.reasons
            self.stats = DropStats()
            self._maps = {name: Map(*self._loaded.maps[name]) for name in _MAPS}
            self._drops, self._events = (PerCpuArray(*self._loaded.maps[name]) for name in ("drops", "drop_events"))
            maps = self._maps["drop_offenders"], self._maps["drop_sketch_window"]
            self._frequent = FrequentSources(*maps, counters=_CLASSES)
            self._describe_reasons()
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

    def totals(self) -> dict[DropKind, tuple[int, int]]:
        """Return packets and bytes since the start, of all kinds there were."""
        totals: dict[DropKind, tuple[int, int]] = {}
        for index, (packets, count_bytes) in self._drops.read().items():
            slot, family, direction, is_tunnelled, is_foreign = BY_ALL.split(index)
            kind = DropKind(
                self.reasons.names[slot],
                FAMILIES[family],
                DIRECTIONS[direction],
                bool(is_tunnelled),
                bool(is_foreign),
            )
            before = totals.get(kind, (0, 0))  # numbers without a name share one
            totals[kind] = before[0] + packets, before[1] + count_bytes
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

    def poll(self, now_s: float) -> Iterator[Dropped]:
        """Yield what each source that drops often lost since the last poll; `now_s` is any clock in seconds."""
        for key, counts, outer in self._frequent.poll(now_s):
            yield Dropped(fold_mapped(key), counts[: len(ReasonClass)], fold_mapped(outer) if any(outer) else None)
        events = {_EVENTS[number]: count for number, (count,) in self._events.read().items()}
        self.stats.lost_offenders = events.get("lost_offenders", 0)
        self.stats.no_device = events.get("no_device", 0)
        self.stats.offenders, self.stats.sketch_load = len(self._frequent), self._frequent.load

    def _describe_reasons(self) -> None:
        """Tell the program what reasons mean and where those of subsystems are counted."""
        order = list(ReasonClass)
        for slot, name in enumerate(self.reasons.names):
            self._maps["reason_classes"][_NUMBER.pack(slot)] = _NUMBER.pack(order.index(class_of(name)))
        for number, slot in self.reasons.subsystems.items():
            self._maps["reason_slots"][_NUMBER.pack(number)] = _NUMBER.pack(slot)
